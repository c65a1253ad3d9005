"""Each kind of trouble with Redis is told apart, on a real server in that state, with its own remedy."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
import redis as redis_py
import trustme
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tools.command_line import run_command
from tools.tls_front import TlsFront
from tools.waiting import wait_until
from vwo_celery.connections import open_client, unavailable
from vwo_celery.connections.errors import is_trouble_of_redis
from vwo_celery.connections.troubles import trouble_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts
from vwo_celery.queue.fleet import Fleet
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import free_port

BROKER = BrokerFacts(url="redis://broker", unchecked="it is another server")
#: Timeout of a client whose server never answers, and of one whose server does, in seconds.
SHORT_SECONDS, PATIENT_SECONDS = 0.3, 10.0
#: Findings that any of these servers has, since none of them keeps anything.
ALWAYS = {"VC235", "VC237", "VC401", "VC601"}
#: The file of its snapshots.
SNAPSHOT = "snapshot.rdb"
Trouble = Callable[[RedisServer, Any], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own, since each test spoils it and mends it."""
    arguments = ("--repl-diskless-sync-delay", "0", "--dbfilename", SNAPSHOT)
    with RedisServer(arguments=arguments) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: RedisServer) -> Iterator[Any]:
    """A client of it that stays connected."""
    with redis_py.Redis.from_url(server.url, single_connection_client=True) as client:
        yield client


@contextmanager
def refused(server: RedisServer, admin: Any) -> Iterator[str]:
    """Nobody listens there."""
    yield f"redis://127.0.0.1:{free_port()}/0"


@contextmanager
def name(server: RedisServer, admin: Any) -> Iterator[str]:
    """No such host: RFC 6761 reserves the name."""
    yield "redis://redis.invalid:6379/0"


@contextmanager
def timeout(server: RedisServer, admin: Any) -> Iterator[str]:
    """The server stands still."""
    os.kill(server.pid, signal.SIGSTOP)
    yield server.url
    os.kill(server.pid, signal.SIGCONT)


@contextmanager
def tls(server: RedisServer, admin: Any) -> Iterator[str]:
    """Nobody knows who signed the server's certificate."""
    with TlsFront(server.port, trustme.CA().issue_cert("127.0.0.1")) as front:
        yield f"rediss://127.0.0.1:{front.port}/0"


@contextmanager
def tls_to_none(server: RedisServer, admin: Any) -> Iterator[str]:
    """The server speaks no TLS: it waits for the end of what it takes for a command."""
    yield server.url.replace("redis://", "rediss://")


@contextmanager
def password(server: RedisServer, admin: Any) -> Iterator[str]:
    """The password is wrong."""
    yield server.url.replace("redis://", "redis://web:sekrit@")


@contextmanager
def denied(server: RedisServer, admin: Any) -> Iterator[str]:
    """The user may not store events, nor read registrations."""
    admin.execute_command(
        "ACL", "SETUSER", "web", "on", ">pw", "~*", "&*", "+@all", "-lpush", "-hgetall"
    )
    yield server.url.replace("redis://", "redis://web:pw@")
    admin.acl_deluser("web")


@contextmanager
def denied_keys(server: RedisServer, admin: Any) -> Iterator[str]:
    """The user may use no key of ours."""
    admin.execute_command("ACL", "SETUSER", "web", "on", ">pw", "~other:*", "&*", "+@all")
    yield server.url.replace("redis://", "redis://web:pw@")
    admin.acl_deluser("web")


@contextmanager
def configured(admin: Any, setting: str, value: str) -> Iterator[None]:
    """A setting of the server's, for a while."""
    before = admin.config_get(setting)[setting]
    admin.config_set(setting, value)
    yield
    admin.config_set(setting, before)


@contextmanager
def memory(server: RedisServer, admin: Any) -> Iterator[str]:
    """The memory is used up."""
    with configured(admin, "maxmemory", "1"):
        yield server.url


@contextmanager
def replica(server: RedisServer, admin: Any) -> Iterator[str]:
    """It follows a master, and takes no writes."""
    admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
    yield server.url
    admin.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def clients(server: RedisServer, admin: Any) -> Iterator[str]:
    """The one client that it lets in is there."""
    with configured(admin, "maxclients", "1"):
        yield server.url


@contextmanager
def disk(server: RedisServer, admin: Any) -> Iterator[str]:
    """The last snapshot failed: a folder has the name of its file."""
    (server.folder / SNAPSHOT).unlink(missing_ok=True)
    (server.folder / SNAPSHOT).mkdir()
    with configured(admin, "save", "3600 1000"):
        _save(admin, "err")
        yield server.url
    (server.folder / SNAPSHOT).rmdir()
    _save(admin, "ok")


def _save(admin: Any, status: str) -> None:
    admin.bgsave()
    ended = ("rdb_last_bgsave_status", "rdb_bgsave_in_progress")
    wait_until(
        lambda: [admin.info("persistence")[each] for each in ended] == [status, 0],
        PATIENT_SECONDS, what=f"a snapshot that ends {status}",
    )  # fmt: skip


@contextmanager
def replicas(server: RedisServer, admin: Any) -> Iterator[str]:
    """A replica is required, and there is none."""
    with configured(admin, "min-replicas-to-write", "1"):
        yield server.url


@contextmanager
def busy(server: RedisServer, admin: Any) -> Iterator[str]:
    """A script does not end."""
    admin.config_set("lua-time-limit", "1")

    def loop() -> None:
        with redis_py.Redis.from_url(server.url) as client, suppress(ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    wait_until(lambda: "BUSY" in _answer(admin), 10, what="the script's end of patience")
    yield server.url
    admin.script_kill()
    thread.join()


def _answer(admin: Any) -> str:
    try:
        return str(admin.ping())
    except RedisError as exc:
        return str(exc)


@contextmanager
def type_(server: RedisServer, admin: Any) -> Iterator[str]:
    """Another program took the name of a key."""
    admin.set("vwo:1:queues", "x")
    yield server.url
    admin.delete("vwo:1:queues")


@contextmanager
def loading(server: RedisServer, admin: Any) -> Iterator[str]:
    """A server reads its data, slowly: here those of its master. It answers after every 2 MB."""
    admin.mset({f"key {n}": os.urandom(400_000) for n in range(100)})
    slow = ("--key-load-delay", "200000", "--repl-diskless-load", "disabled")
    with RedisServer(arguments=slow) as follower, redis_py.Redis.from_url(follower.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", server.port)
        wait_until(lambda: client.info("persistence")["loading"] == 1, 20, what="the load")
        yield follower.url
        follower.kill()
    admin.flushall()


@contextmanager
def cluster(server: RedisServer, admin: Any) -> Iterator[str]:
    """A node of a Cluster that serves no slot."""
    with RedisServer(arguments=("--cluster-enabled", "yes")) as node:
        yield node.url


@contextmanager
def lost(server: RedisServer, admin: Any) -> Iterator[str]:
    """Something that closes each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_all() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=close_all, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)


#: Each trouble, its finding, and words that its remedy has.
CASES: list[tuple[Trouble, str, str]] = [
    (refused, "VC201", "start it, or correct host and port"),
    (name, "VC202", "correct the host"),
    (timeout, "VC203", "SLOWLOG GET"),
    (tls, "VC204", "ssl_ca_certs"),
    (tls_to_none, "VC204", "rediss://"),
    (password, "VC205", "correct user and password"),
    (denied, "VC301", "+hgetall +lpush"),
    (denied_keys, "VC301", "~vwo:*"),
    (memory, "VC211", "maxmemory"),
    (replica, "VC210", "name the primary"),
    (loading, "VC206", "wait"),
    (type_, "VC212", "redis-cli RENAME vwo:1:queues aside:vwo:1:queues"),
    (clients, "VC207", "maxclients"),
    (cluster, "VC208", "CLUSTER NODES"),
    (disk, "VC214", "disk's space"),
    (replicas, "VC215", "min-replicas-to-write"),
    (busy, "VC213", "SCRIPT KILL"),
    (lost, "VC209", "something between closes connections"),
]


@pytest.mark.parametrize(
    "text",
    [
        "this user has no permissions to run the 'get' command",  # 6.2 and 7.0
        "this user has no permissions to access one of the keys used as arguments",
        "this user has no permissions to access one of the channels used as arguments",
        "User web has no permissions to run the 'get' command",  # 8
        "No permissions to access a key",
        "No permissions to access a channel",
        "ACL failure in script: No permissions to access a key",
    ],
)
def test_a_denial_is_known_by_its_words(text: str) -> None:
    """Whatever the release calls it, what a user may not do is told as that."""
    assert trouble_of(NoPermissionError(text)).word == "denied"


@pytest.mark.parametrize(
    ("trouble", "finding", "remedy"), CASES, ids=[each[0].__name__.strip("_") for each in CASES]
)
def test_each_trouble_is_told_apart(
    server: RedisServer, admin: Any, trouble: Trouble, finding: str, remedy: str
) -> None:
    """The error, the log line, the doctor and each command's error line say which trouble it is.

    It is one problem, and nobody is told to start a Redis that answers.
    """
    word = trouble.__name__.partition("_")[0]
    also = {"VC210"} if word == "loading" else set()  # it follows the one whose data it reads
    waits = trouble in (timeout, tls_to_none)
    refuses = trouble in (memory, replica, disk, replicas)
    broker = BROKER
    if (
        refuses
    ):  # all that follows from it: nobody can note that they live, and a broker in it fails
        also |= {"VC401"}
        broker = BrokerFacts(url="redis://broker", error="the same", has_queues=True)
    with trouble(server, admin) as url:
        patience = SHORT_SECONDS if waits else PATIENT_SECONDS
        met = _meet(url, patience)
        settings = Settings(redis_url=url, spool_dir="")
        found = [
            each
            for each in doctor.examine(settings, lambda: _open(url, patience), lambda _: broker)
            if each.state != "ok" and each.id not in ALWAYS ^ also
        ]
        shown = "" if waits else _status(url)

    assert trouble_of(met).word == word
    assert [each.id for each in found] == [finding]
    assert found[0].state == "problem"
    assert remedy in found[0].remedy
    starts = word == "refused"
    assert ("start it, or" in found[0].remedy) is starts
    if shown:  # a command that only looks may work meanwhile
        assert remedy.lower() in shown.lower()
        assert ("start it, or" in shown.lower()) is starts
    assert "sekrit" not in str(found) + shown


def test_a_password_that_was_set_meanwhile_is_told_apart(server: RedisServer, admin: Any) -> None:
    """To a long command of a connection without a password, Redis answers with other words."""
    client = open_client(server.url, timeout_seconds=PATIENT_SECONDS)
    with configured(admin, "requirepass", "sekrit"):
        with pytest.raises(RedisError) as met:
            client.execute_command("EVALSHA", "0" * 40, "0", *range(12))
        admin.execute_command("AUTH", "default", "sekrit")

    assert trouble_of(met.value).word == "password"
    assert is_trouble_of_redis(met.value)


def _open(url: str, timeout_seconds: float) -> Fleet:
    try:
        return Fleet(open_client(url, timeout_seconds=timeout_seconds), "vwo")
    except ValueError as exc:
        raise QueueUnavailable(f"opening a connection: {exc}") from exc


def _meet(url: str, timeout_seconds: float) -> Exception:
    """The failure of a look and a push, as a worker or an application meets it."""
    try:
        fleet = _open(url, timeout_seconds)
        with unavailable("a test"):
            fleet.client.hgetall(fleet.keys.queues)
            fleet.client.lpush(f"{fleet.keys.prefix}{{try}}:push", "x")
    except QueueUnavailable as exc:
        return exc
    pytest.fail("Redis took it")


def _status(url: str) -> str:
    """The error line of `vwo-celery status`, "" where it has none."""
    result = run_command(["status", "--redis-url", url])
    return " ".join(result.stderr.split()) if result.exit_code else ""
