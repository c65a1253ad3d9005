"""The suite under few rights: every client of the package logs in as a Redis user of its role.

In force where VWO_CELERY_TEST_ACL is set. Each server that a test starts gets the four users, with the
rules that `vwo-celery acl` prints. What opens a client decides which of them it is: the room of the
package, or a test that asks for a worker's client. A test's own clients stay those of an administrator,
as do other programs that it starts, and the clients of a server that it reaches by another port. After
each test, nothing may have been denied to one of these users.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import RedisError

from lua.clock import KEY as CLOCK
from vwo_celery.connections import clients
from vwo_celery.queue.servers.roles import ROLES, Server, rules_of
from vwo_celery.settings.redis_url import RedisUrl
from vwo_celery.testing import RedisServer

#: Namespaces that tests use, as patterns; the last is that of `vwo_celery.testing`.
NAMESPACES = ("vwo", "one", "other", "shop", "two", "vwo-test-*")
#: The role of each room that opens clients, the first that fits; other rooms are an application's.
ROOMS = (
    ("vwo_celery.celery.control", "operator"),
    ("vwo_celery.celery", "worker"),
    ("vwo_celery.cli", "operator"),
    ("vwo_celery.console", "operator"),
    ("vwo_celery.metrics", "viewer"),
    ("vwo_celery.testing", ""),  # the Redis of a user's tests: it is an administrator's
    ("vwo_celery", "producer"),
)
#: What a viewer is denied by design: to load a script that Redis does not know yet; then it does without.
_BY_DESIGN = ("suite_viewer", "script")
_PREFIX = "suite_"
_servers: dict[int, RedisServer] = {}
_denied: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def _users_of_roles() -> Iterator[None]:
    """Give each server the users, and each client of the package one of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisServer, "_await_answer", _then_add_users(RedisServer._await_answer))
        patch.setattr(RedisServer, "_end", _asked_before(RedisServer._end))
        patch.setattr(clients, "_options", _with_user(clients._options))
        yield


@pytest.fixture(autouse=True)
def _nothing_was_denied(_users_of_roles: None) -> Iterator[None]:
    """Fail a test in which Redis denied something to a user of ours."""
    yield
    for server in list(_servers.values()):
        _ask(server)
    found, _denied[:] = sorted(set(_denied)), []
    if found:
        pytest.fail("\n".join(["Redis denied to a user of ours", *found]), pytrace=False)


def _then_add_users(original: Any) -> Any:
    def await_answer(self: RedisServer, binary: str) -> None:
        original(self, binary)
        kind = Server(cluster="--cluster-enabled" in self._options, database=True)
        try:
            with redis_py.Redis.from_url(self.url, socket_timeout=2) as admin:
                for role in ROLES:
                    words = shlex.split(_rules(role, kind))
                    admin.execute_command("ACL", "SETUSER", _PREFIX + role, *words, "nopass")
        except RedisError:
            return  # it wants a password: its clients have users of their own
        _servers[self.port] = self

    return await_answer


def _rules(role: str, kind: Server) -> str:
    lines = [rules_of(role, each, kind) for each in NAMESPACES]
    more = {word for line in lines[1:] for word in line.split() if word[0] in "~&"}
    return " ".join([lines[0], *sorted(more), f"~{CLOCK}"])


def _asked_before(original: Any) -> Any:
    def end(self: RedisServer, how: Any) -> None:
        if self._process is not None and _servers.pop(self.port, None):
            _ask(self)
        original(self, how)

    return end


def _ask(server: RedisServer) -> None:
    """Note what this server denied to a user of ours, and have it forget that."""
    try:
        with redis_py.Redis.from_url(server.url, socket_timeout=0.5) as admin:
            told: list[dict[str, Any]] = admin.acl_log()
            admin.acl_log_reset()
    except RedisError:
        return  # it is away, or stands still: a test of that
    for each in told:
        user, what, why = (_text(each[name]) for name in ("username", "object", "reason"))
        early = why == "auth"  # a server that has just started again, and has no users yet
        by_design = early or (user, what.partition("|")[0]) == _BY_DESIGN
        if user.startswith(_PREFIX) and not by_design:
            _denied.append(
                f"{user.removeprefix(_PREFIX)}: {what} ({why}, {_text(each['context'])})"
            )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _with_user(original: Any) -> Any:
    def options(url: RedisUrl, timeout_seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = original(url, timeout_seconds)
        role = _role()
        if not role or url.login_options or not _is_ours(url):
            return found
        login = {"username": _PREFIX + role}
        return {**found, **clients._greeting(login), **login}

    return options


def _is_ours(url: RedisUrl) -> bool:
    """Whether it leads to a server with these users; a Sentinel's masters are."""
    if url.kind == "sentinel":
        return bool(_servers)
    return any(port in _servers for _, port in url.addresses)


def _role() -> str:
    """The role of what opens a client now."""
    frame: Any = sys._getframe(1)
    opened = set()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "vwo_celery.connections.clients":
            opened.add(frame.f_code.co_name)
        elif module.partition(".")[0] == "vwo_celery" and not module.startswith(
            "vwo_celery.connections"
        ):
            return next(role for room, role in ROOMS if module.startswith(room))
        elif module not in (__name__, "vwo_celery.connections.sharing"):
            return "worker" if "open_worker_client" in opened else ""
        frame = frame.f_back
    return ""
