"""Who may come in to the console, and which requests are its own pages'."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from vwo_celery.console import ROLES, Request, Right
from vwo_celery.console.access.credentials import Credentials
from vwo_celery.console.access.guard import Guard
from vwo_celery.console.access.hosts import may_ask_for
from vwo_celery.console.access.origins import is_own
from vwo_celery.console.access.throttle import MOST_FAILURES, WINDOW_SECONDS, Throttle
from vwo_celery.console.serving import Exposed, checked_guard
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings

SECRET = "4f1c0d9b6e2a7d8835f0a1b2"


def asked(**headers: str) -> Request:
    """A request with these headers, as somebody's browser or program sends it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/do/pause", headers={"host": "ops.test:8000", **named}, remote="::1")


def basic(name: str, secret: str) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of credentials: alice by her secret, a robot by the hash of the same one."""
    path = tmp_path / "console"
    digest = hashlib.sha256(b"another secret of a robot").hexdigest()
    path.write_text(f"# ours\n\nalice operator {SECRET}\nrobot viewer sha256:{digest}\n")
    return path


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site", "origin": "http://ops.test:8000"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "http://ops.test:8000"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"origin": "http://ops.test:8000"}, True),
        ({"origin": "https://ops.test:8000"}, True),
        ({"origin": "http://ops.test"}, False),
        ({"origin": "http://ops.test:8000.evil.test"}, False),
        ({"origin": "null"}, False),
        ({}, False),
        ({"authorization": basic("alice", SECRET)}, False),
        ({"authorization": f"Bearer {SECRET}"}, True),
    ],
)
def test_a_change_comes_from_a_page_of_ours(headers: dict[str, str], *, own: bool) -> None:
    """What the browser says of the page decides, else the origin; a Bearer token needs neither."""
    assert is_own(asked(**headers)) is own


def test_no_host_is_no_origin() -> None:
    """A request that names no host is nobody's own."""
    assert not is_own(Request("POST", "/", headers={"origin": "http://"}))


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("localhost:8000", True), ("LOCALHOST.", True), ("127.0.0.1:8000", True), ("[::1]:8000", True),
        ("10.1.2.3", True), ("ops.test", True), ("ops.test:8000", True), ("evil.test", False),
        ("evil.test:8000", False), ("localhost.evil.test", False), ("", False),
    ],
)  # fmt: skip
def test_an_open_console_answers_to_no_strange_name(host: str, *, may: bool) -> None:
    """A page with a name of its own that leads to this host does not count as ours."""
    assert may_ask_for(host, {"ops.test"}) is may


def test_people_are_known_by_name_and_secret(file: Path) -> None:
    """A browser's name and secret, or a program's token, tell who asks; a wrong one tells nobody."""
    known = Credentials(str(file))

    def who(header: str) -> str | None:
        found = known.visitor({"authorization": header})
        return None if found is None else found.name

    assert who(basic("alice", SECRET)) == "alice"
    assert who(f"Bearer {SECRET}") == "alice"
    assert who(basic("robot", "another secret of a robot")) == "robot"
    assert who(basic("robot", SECRET)) is None
    assert who(basic("alice", SECRET + "x")) is None
    for wrong in ("", "Bearer", "Bearer ", f"Digest {SECRET}", "Basic ☃", SECRET):
        assert who(wrong) is None


def test_the_file_is_read_again(file: Path) -> None:
    """Who is added may come in at once; a file that cannot be read leaves the list as it was."""
    known = Credentials(str(file))
    added = {"authorization": "Bearer 0123456789abcdef"}
    assert known.visitor(added) is None

    file.write_text("bob purge 0123456789abcdef\n")
    bob = known.visitor(added)
    file.write_text("bob purge\n")

    assert bob is not None
    assert bob.rights == ROLES["purge"]
    assert known.visitor(added) == bob


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names nobody"), ("alice operator\n", "line 1 cannot be read"),
        ("\nalice boss " + SECRET, "line 2 cannot be read"),
        ("alice viewer short", "line 1 has a secret that is too short"),
        (f"a viewer {SECRET}\na peek {SECRET}", "names 'a' a second time"),
    ],
)  # fmt: skip
def test_a_wrong_file_says_why(tmp_path: Path, text: str, why: str) -> None:
    """A file that cannot be read stops the start; no message shows a secret."""
    path = tmp_path / "console"
    path.write_text(text)

    with pytest.raises(SettingsError, match=why) as told:
        Credentials(str(path))
    assert SECRET not in str(told.value)


def test_guessing_ends() -> None:
    """After ten wrong secrets in a minute an address waits; others do not, and it does not for ever."""
    now = [100.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(MOST_FAILURES - 1):
        throttle.note("192.0.2.1")
    assert throttle.wait_seconds("192.0.2.1") == 0

    throttle.note("192.0.2.1")

    assert throttle.wait_seconds("192.0.2.1") == WINDOW_SECONDS
    assert throttle.wait_seconds("192.0.2.2") == 0
    now[0] += WINDOW_SECONDS
    assert throttle.wait_seconds("192.0.2.1") == 0


def test_a_guard_asks_counts_and_refuses(file: Path) -> None:
    """Without a secret one is asked for it; wrong ones are counted, until even the right one waits."""
    guard = Guard(Credentials(str(file)))

    def status(**headers: str) -> int:
        try:
            guard(asked(**headers))
        except Refusal as exc:
            return exc.status
        return 200

    assert status() == 401
    assert [status(authorization=f"Bearer {n}") for n in range(MOST_FAILURES)] == [401] * 10
    assert status(authorization=f"Bearer {SECRET}") == 429


def test_read_only_takes_all_changes_away(file: Path) -> None:
    """Nobody may change anything, whatever their role."""
    closed = Guard(Credentials(str(file)), read_only=True)
    opened = Guard(None, hosts=["ops.test"], read_only=True)

    for guard in (closed, opened):
        rights = guard(asked(authorization=f"Bearer {SECRET}")).rights
        assert rights == {Right.VIEW, Right.PEEK}


def test_an_open_console_answers_no_strange_name() -> None:
    """Where everybody may come in, a name that leads here would let any page of the world in."""
    guard = Guard(None)

    with pytest.raises(Refusal, match=r"evil\.test"):
        guard(asked(host="evil.test"))
    assert guard(asked(host="localhost")).rights == ROLES["purge"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "192.0.2.1"}, {"x_forwarded_proto": "https"}, {"via": "1.1 proxy"},
        {"x_cluster_client_ip": "192.0.2.1"}, {"fastly_client_ip": "192.0.2.1"}, {"cdn_loop": "edge"},
        {"x_scheme": "https"}, {"tailscale_user_login": "ann@ops.example"}, {"cf_ray": "8a1-FRA"},
        {"fly_client_ip": "192.0.2.1"},
        {"origin": "https://ops.example"}, {"referer": "https://ops.example/vwo/"},
        {"sec_fetch_site": "same-origin", "origin": "https://ops.example"},
        {"referer": "http://localhost:9000/"}, {"referer": "http://[ops/"}, {"http_version": "1.0"},
    ],
    ids=str,
)  # fmt: skip
def test_an_open_console_answers_no_proxy(headers: dict[str, str]) -> None:
    """A proxy that tells nothing of itself is known by what it speaks, or by where its page stands."""
    version = headers.get("http_version", "1.1")
    request = replace(asked(host="localhost:8000", **headers), http_version=version)

    with pytest.raises(Refusal, match="does not answer a proxy"):
        Guard(None)(request)


@pytest.mark.parametrize("name", ["x_forwarded_for", "x_real_ip", "fly_client_ip"])
def test_underscores_hide_no_proxy(name: str) -> None:
    """Some proxies, and servers behind them, spell what they add with underscores."""
    headers = {"host": "localhost:8000", name: "192.0.2.1"}

    with pytest.raises(Refusal, match="does not answer a proxy"):
        Guard(None)(Request("GET", "/", headers=headers, remote="::1"))


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "http://localhost:8000"}, {"referer": "http://localhost:8000/queues/a"},
        {"origin": "null"}, {"sec_fetch_site": "cross-site", "referer": "https://wiki.example/"},
        {"sec_fetch_site": "none"},
    ],
    ids=str,
)  # fmt: skip
def test_an_open_console_answers_this_hosts_browser(headers: dict[str, str]) -> None:
    """Pages of its own, a link from elsewhere and a program get in; a tunnel keeps all of them so."""
    assert Guard(None)(asked(host="localhost:8000", **headers)).rights == ROLES["purge"]


def test_it_is_closed_by_default(file: Path) -> None:
    """Others can connect only if somebody has said who may come in."""
    with pytest.raises(Exposed, match="--credentials FILE"):
        checked_guard(Settings(console_listen="0.0.0.0:8000"))

    checked_guard(Settings(console_listen="0.0.0.0:8000", console_credentials_file=str(file)))
    checked_guard(Settings(console_listen="[::1]:8000"))
