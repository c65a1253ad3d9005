"""TLS to Redis: the certificate must be for the host's name, with every redis-py and every client.

redis-py 5 does not check the name by itself, and Celery's broker checks neither name nor certificate.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import kombu
import pytest
import redis as redis_py
import trustme
from redis.exceptions import RedisError

from tools.processes import Process
from tools.redis_groups import SERVICE, cluster_port, serve_all_slots
from tools.sentinels import lone_sentinel
from tools.tls_front import TlsFront
from tools.waiting import wait_until
from vwo_celery.celery.broker.facts import look_at_broker
from vwo_celery.connections import twin_of
from vwo_celery.connections.clients import open_async_client, open_client
from vwo_celery.connections.resp import pack
from vwo_celery.operating.doctor.broker import broker_findings
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import free_port

#: Kinds of set-up in which one certificate is for another name, and those in which none is.
WRONG = ("single", "sentinel", "sentinel's server", "cluster")
RIGHT = ("single right", "sentinel right", "cluster right")
#: Whether this redis-py checks the host's name by itself.
NAME_IS_CHECKED = int(redis_py.__version__.partition(".")[0]) >= 6
#: Timeout of a client under test in seconds; none of these tests waits for it.
PATIENT_SECONDS = 20.0


class Servers(NamedTuple):
    """TLS fronts of real servers, and the URL by which clients reach them.

    Attributes:
        url: It ends in a query, and trusts the authority of every certificate.
        fronts: Those that a client must not talk to where a certificate is for another name.
    """

    url: str
    fronts: list[TlsFront]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that all certificates here come from."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """File with the authority's certificate."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def stage(
    authority: trustme.CA, trusted: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Servers]]:
    """Servers of every kind; in those named "right" all certificates are for the host's name."""
    with ExitStack() as stack:
        right, wrong = authority.issue_cert("127.0.0.1"), authority.issue_cert("other.example")

        def front(port: int, *, right_name: bool) -> TlsFront:
            return stack.enter_context(TlsFront(port, right if right_name else wrong))

        yield {
            kind: _start(
                kind, stack, front, tmp_path_factory.mktemp("servers"), f"?ssl_ca_certs={trusted}"
            )
            for kind in (*WRONG, *RIGHT)
        }


def _start(
    kind: str, stack: ExitStack, front: Callable[..., TlsFront], folder: Path, query: str
) -> Servers:
    good = kind.endswith("right")
    if kind.startswith("cluster"):
        port = cluster_port()
        shown = front(port, right_name=good)
        options = (
            "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1",
            "--cluster-announce-port", str(shown.port),
        )  # fmt: skip
        serve_all_slots(stack.enter_context(RedisServer(arguments=options, port=port)))
        return Servers(f"rediss+cluster://127.0.0.1:{shown.port}{query}", [shown])
    server = stack.enter_context(RedisServer())
    if kind.startswith("single"):
        shown = front(server.port, right_name=good)
        return Servers(f"rediss://127.0.0.1:{shown.port}/0{query}", [shown])
    master = front(server.port, right_name=good or kind != "sentinel's server")
    port = free_port()
    stack.enter_context(lone_sentinel(port, master.port, folder))
    sentinel = front(port, right_name=good or kind != "sentinel")
    wrong = [master] if kind == "sentinel's server" else [sentinel, master]
    return Servers(f"rediss+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}{query}", wrong)


def ask(url: str) -> Any:
    """Run a command by a client for threads."""
    return open_client(url, timeout_seconds=PATIENT_SECONDS).execute_command("GET", "a key")


def ask_directly(url: str) -> Any:
    """Run a command by the direct way of a client for threads."""
    client = open_client(url, timeout_seconds=PATIENT_SECONDS)
    return client.exchange("a key", pack(("GET", "a key")))[0]


def ask_as_given(url: str) -> Any:
    """Run a command by the twin of a client that the application made of the URL."""
    client = redis_py.Redis.from_url(url)
    return twin_of(client, timeout_seconds=PATIENT_SECONDS).execute_command("GET", "a key")


def ask_async(url: str) -> Any:
    """Run a command by a client for asyncio."""

    async def run() -> Any:
        client = open_async_client(url, timeout_seconds=PATIENT_SECONDS)
        try:
            return await client.execute_command("GET", "a key")
        finally:
            await client.aclose()

    return asyncio.run(run())


def ask_broker(url: str) -> Any:
    """Connect to Celery's broker, which is the same Redis by default."""
    url = Settings(redis_url=url).effective_broker_url
    with kombu.Connection(url, transport_options={"max_retries": 1, "interval_start": 0}) as broker:
        return broker.default_channel.client.get("a key")


CLIENTS = [ask, ask_directly, ask_async]


@pytest.mark.parametrize("run", CLIENTS)
@pytest.mark.parametrize("kind", WRONG)
def test_a_certificate_for_another_name_is_refused(
    stage: dict[str, Servers], kind: str, run: Callable[[str], Any]
) -> None:
    """A server whose certificate is for another name gets nothing, though its authority is trusted."""
    servers = stage[kind]
    before = [front.taken for front in servers.fronts]

    with pytest.raises((RedisError, ssl.SSLError, redis_py.exceptions.RedisClusterException)):
        run(servers.url)

    assert [front.taken for front in servers.fronts] == before
    wait_until(lambda: servers.fronts[0].refused)


def test_the_twin_of_a_client_checks_the_name_too(stage: dict[str, Servers]) -> None:
    """A client passed as redis= that says nothing of names is as safe; redis-py 5's would not be."""
    wrong, right = stage["single"], stage["single right"]
    before = wrong.fronts[0].taken

    with pytest.raises(RedisError, match="certificate"):
        ask_as_given(wrong.url)

    assert wrong.fronts[0].taken == before
    assert ask_as_given(right.url) is None


@pytest.mark.parametrize("run", CLIENTS)
@pytest.mark.parametrize("kind", RIGHT)
def test_a_certificate_for_the_host_is_taken(
    stage: dict[str, Servers], kind: str, run: Callable[[str], Any]
) -> None:
    """With a certificate for the host's name commands run."""
    servers = stage[kind]
    before = servers.fronts[0].taken

    assert run(servers.url) is None

    assert servers.fronts[0].taken > before


def test_the_broker_checks_certificate_and_name(stage: dict[str, Servers]) -> None:
    """Celery's broker, if it is the same Redis, checks what the clients check; kombu checks nothing."""
    wrong, right = stage["single"], stage["single right"]
    untrusted = right.url.partition("?")[0]
    before = wrong.fronts[0].taken, right.fronts[0].taken

    for url in (wrong.url, untrusted):
        with pytest.raises(Exception, match="certificate"):
            ask_broker(url)

    assert (wrong.fronts[0].taken, right.fronts[0].taken) == before
    assert ask_broker(right.url) is None


@pytest.mark.parametrize("spelling", ["none", "CERT_NONE"])
@pytest.mark.parametrize("run", [*CLIENTS, ask_broker])
def test_both_checks_can_be_left_out(
    stage: dict[str, Servers], run: Callable[[str], Any], spelling: str
) -> None:
    """With ssl_cert_reqs=none, as redis-py or Celery spells it, nothing is checked."""
    url = stage["single"].url.partition("?")[0]

    assert run(f"{url}?ssl_cert_reqs={spelling}") is None


@pytest.mark.parametrize("run", [*CLIENTS, ask_broker])
def test_the_name_alone_can_be_left_out(
    stage: dict[str, Servers], run: Callable[[str], Any]
) -> None:
    """With ssl_check_hostname=false the certificate is checked and its name is not."""
    assert run(f"{stage['single'].url}&ssl_check_hostname=false") is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?ssl_cert_reqs=none", "without a check of its certificate"),
        ("?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=false", "a certificate for any name"),
        ("?ssl_cert_reqs=required", "" if NAME_IS_CHECKED else "a certificate for any name"),
        ("?ssl_cert_reqs=required&ssl_check_hostname=true", ""),
    ],
)
def test_a_projects_own_broker_without_a_check_is_named(
    stage: dict[str, Servers],
    query: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The doctor and a worker's log say which check a project's own broker leaves out."""
    servers = stage["single right"]
    url, _, trusting = servers.url.partition("?")
    url += f"{query}&{trusting}"
    (tmp_path / "own_broker.py").write_text(
        f"from celery import Celery\napp = Celery(broker={url!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_broker", raising=False)

    facts = look_at_broker(Settings(redis_url=servers.url), "own_broker")
    found = [each for each in broker_findings(facts, None) if each.check == "broker security"]

    assert words in (found[0].what if found else "")
    assert facts.error == ""
    assert all("ssl_check_hostname=true" in each.remedy for each in found)


def test_a_worker_says_what_its_broker_does_not_check(
    stage: dict[str, Servers], tmp_path: Path
) -> None:
    """A worker that starts on such a broker logs it, with the remedy."""
    url = stage["single right"].url
    (tmp_path / "own_broker.py").write_text(
        "import vwo_celery\nfrom celery import Celery\n"
        f"app = Celery(broker={url.partition('?')[0] + '?ssl_cert_reqs=none'!r})\n"
        f"vwo_celery.setup(app, redis_url={url!r}, spool_dir='')\n"
    )
    command = ("python", "-m", "celery", "-A", "own_broker", "worker", "--pool=solo")
    with Process(*command, folder=tmp_path, name="worker", cwd=tmp_path) as worker:
        worker.wait_for_log("without a check of its certificate")
