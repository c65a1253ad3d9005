"""What a newcomer writes wrong in the address of Redis is told as that, and the remedy works.

On real servers: a single Redis, a Sentinel, a Cluster, and TLS in front of the first two.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from redis.exceptions import ResponseError, TryAgainError

from tools.redis_groups import SERVICE, ClusterGroup, client_of
from tools.sentinels import lone_sentinel
from tools.tls_front import TlsFront
from tools.waiting import wait_until
from vwo_celery.connections import open_async_client, open_client, unavailable
from vwo_celery.connections.errors import describe
from vwo_celery.connections.troubles import trouble_of
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.pipelining import Call, run_all
from vwo_celery.queue.scripts import script
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer
from vwo_celery.testing.waiting import free_port

BROKER = BrokerFacts(url="redis://broker", unchecked="it is another server")
#: Timeout of a client whose server does not speak TLS, and of one whose server answers, in seconds.
SHORT_SECONDS, PATIENT_SECONDS = 0.3, 10.0
OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


class Stage:
    """Servers, and the words of addresses that lead to them: {single}, {cluster} and so on."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.server = stack.enter_context(RedisServer())
        self.cluster = stack.enter_context(ClusterGroup(2))
        sentinel = free_port()
        stack.enter_context(lone_sentinel(sentinel, self.server.port, folder))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(
            folder / "client.pem"
        )
        (folder / "text.pem").write_text("no certificate")
        (folder / "encrypted.pem").write_bytes(_encrypted(folder / "client.pem", b"right"))
        shown = authority.issue_cert("127.0.0.1")
        self.words = {
            "single": f"127.0.0.1:{self.server.port}",
            "cluster": f"127.0.0.1:{self._stranger_to('vwo:1:queues')}",
            "sentinel": f"127.0.0.1:{sentinel}",
            "tls": f"127.0.0.1:{stack.enter_context(TlsFront(self.server.port, shown)).port}",
            "nobody": f"127.0.0.1:{free_port()}",
            "folder": str(folder),
        }
        with redis_py.Redis(port=sentinel) as client:
            wait_until(lambda: _pings(client), 10, what="the Sentinel")

    def _stranger_to(self, key: str) -> int:
        """The port of a node of the Cluster that does not hold a key."""
        owner = self.cluster.owner_of(self.cluster.slot_of(key))
        return next(node.port for node in self.cluster.nodes if node is not owner)

    def url(self, template: str) -> str:
        """An address."""
        return template.format(**self.words)


def _encrypted(pem: Path, password: bytes) -> bytes:
    """A file with a key and its certificates, with the key encrypted."""
    text = pem.read_bytes()
    key = load_pem_private_key(text, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    return key + text[text.index(b"-----BEGIN CERTIFICATE") :]


def _pings(client: Any) -> bool:
    with suppress(redis_py.ConnectionError):
        return bool(client.ping())
    return False


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The servers of this module."""
    with ExitStack() as stack:
        yield Stage(stack, tmp_path_factory.mktemp("servers"))


def troubles(url: str, patience: float = PATIENT_SECONDS) -> list[Finding]:
    """What the doctor says of Redis itself, but for how it stores."""
    settings = Settings(redis_url=url, spool_dir="")

    def open_fleet() -> Fleet:
        return Fleet(open_client(url, timeout_seconds=patience), "vwo")

    found = doctor.examine(settings, open_fleet, lambda _: BROKER)
    return [
        each
        for each in found
        if each.state != "ok" and each.id[:4] in ("VC20", "VC21", "VC22", "VC30")
    ]


def met(url: str, patience: float = PATIENT_SECONDS) -> QueueUnavailable:
    """The error that a worker or an application meets at an address."""
    with pytest.raises(QueueUnavailable) as caught, unavailable("a test"):
        open_client(url, timeout_seconds=patience).hgetall("vwo:1:queues")
    return caught.value


SENTINEL = f"redis+sentinel://{{sentinel}}/{SERVICE}"
#: An address, its trouble and finding, words of the remedy, and the address that the remedy leads to.
ADDRESSES = [
    ("redis://{cluster}/0", "of_cluster", "VC217", "redis+cluster://", "redis+cluster://{cluster}"),
    ("redis://{cluster}/3", "of_cluster", "VC217", "without a database", "redis+cluster://{cluster}"),
    ("redis://{sentinel}/0", "unknown", "VC217", "write redis+sentinel://", SENTINEL),
    ("redis://{sentinel}/3", "unknown", "VC217", "redis+sentinel://", SENTINEL),
    ("redis+cluster://{single}", "no_cluster", "VC217", "write redis://", "redis://{single}"),
    ("redis+cluster://{sentinel}", "no_cluster", "VC217", "redis+sentinel://", SENTINEL),
    ("redis+sentinel://{single}", "no_sentinel", "VC217", "write redis://", "redis://{single}"),
    (
        "redis+sentinel://{cluster}", "no_sentinel", "VC217", "redis+cluster://",
        "redis+cluster://{cluster}",
    ),
    ("redis+sentinel://{sentinel}/other", "service", "VC217", "SENTINEL MASTERS", SENTINEL),
    ("redis+sentinel://{nobody}", "sentinels", "VC221", "correct their hosts", SENTINEL),
    ("redis+sentinel://redis.invalid", "name", "VC202", "correct the host", SENTINEL),
    ("redis://{single}/77", "database", "VC217", "there is always 0", "redis://{single}/0"),
    (f"{SENTINEL}/77", "database", "VC217", "there is always 0", SENTINEL),
    ("redis+cluster://{nobody}", "refused", "VC201", "correct host", "redis+cluster://{cluster}"),
    ("redis://:needless@{single}", "password", "VC205", "leave them out", "redis://{single}"),
    (
        f"{SENTINEL}?sentinel_password=needless", "sentinel_password", "VC205", "leave them out",
        SENTINEL,
    ),
    ("redis://255.255.255.255", "unreachable", "VC209", "correct the host", "redis://{single}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "word", "finding", "remedy", "right"), ADDRESSES, ids=[each[0] for each in ADDRESSES]
)
def test_a_wrong_address_is_told_and_the_remedy_works(
    stage: Stage, wrong: str, word: str, finding: str, remedy: str, right: str
) -> None:
    """One finding, which names what is wrong; the address that it asks for is taken."""
    found = troubles(stage.url(wrong))

    assert trouble_of(met(stage.url(wrong))).word == word
    assert [each.id for each in found] == [finding]
    assert remedy in found[0].remedy
    assert not troubles(stage.url(right))


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
def test_a_port_without_tls_is_not_told_as_slow(stage: Stage, scheme: str) -> None:
    """A server that waits for the end of what it takes for a command is asked for TLS."""
    [found] = troubles(stage.url(f"{scheme}://{{single}}"), SHORT_SECONDS)

    assert found.id == "VC204"
    assert "speaks TLS on that port" in found.remedy


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
def test_a_missing_file_of_tls_is_named(stage: Stage, scheme: str, option: str) -> None:
    """With its option; nobody is told to start a Redis that runs."""
    given = {"ssl_certfile": stage.url("{folder}/client.pem")} | {option: "/nowhere.pem"}
    query = "&".join(f"{name}={value}" for name, value in given.items())
    [found] = troubles(stage.url(f"{scheme}://{{tls}}?{query}"))

    assert found.id == "VC204"
    assert f"{option} names /nowhere.pem: " in found.what
    assert "give this process that file" in found.remedy


@pytest.mark.parametrize("option", OPTIONS[:1] + OPTIONS[2:])
def test_a_file_of_tls_that_holds_something_else_is_named(stage: Stage, option: str) -> None:
    """So is one that is a folder; with the right files the address is taken."""
    right = {
        "ssl_ca_certs": stage.url("{folder}/authority.pem"),
        "ssl_certfile": stage.url("{folder}/client.pem"),
        "ssl_keyfile": stage.url("{folder}/client.pem"),
    }
    for path in (stage.url("{folder}/text.pem"), stage.url("{folder}")):
        query = "&".join(f"{name}={value}" for name, value in (right | {option: path}).items())
        error = met(stage.url(f"rediss://{{tls}}/0?{query}"))
        assert trouble_of(error).word == "file"
        assert option in str(error)
        assert path in str(error)
    query = "&".join(f"{name}={value}" for name, value in right.items())
    assert not troubles(stage.url(f"rediss://{{tls}}/0?{query}"))


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "rediss+sentinel"])
def test_asyncio_names_the_file_of_tls(stage: Stage, scheme: str) -> None:
    """As threads do."""
    url = stage.url(f"{scheme}://{{tls}}?ssl_ca_certs=/nowhere.pem")

    async def run() -> None:
        client = open_async_client(url, timeout_seconds=PATIENT_SECONDS)
        try:
            with unavailable("a test"):
                await client.hgetall("vwo:1:queues")
        finally:
            await client.aclose()

    with pytest.raises(QueueUnavailable, match=r"ssl_ca_certs names /nowhere\.pem"):
        asyncio.run(run())


def test_nobody_is_asked_for_the_password_of_a_key(stage: Stage) -> None:
    """OpenSSL would ask at the terminal, where a worker waited; the option that is missing is named."""
    query = "ssl_ca_certs={folder}/authority.pem&ssl_certfile={folder}/encrypted.pem"
    url = stage.url(f"rediss://{{tls}}/0?{query}")

    for more in ("", "&ssl_password=wrong-password"):
        error = met(url + more)
        assert trouble_of(error).word == "file"
        assert "its key is encrypted, and ssl_password is missing or wrong" in str(error)
        assert "wrong-password" not in "".join(traceback.format_exception(error))
    assert not troubles(url + "&ssl_password=right")


def test_a_server_in_protected_mode_is_thought_of(stage: Stage) -> None:
    """Without a password, redis-py takes its refusal for the answer to the greeting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.sendall(b"-DENIED Redis is running in protected mode\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        error = met(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        listener.shutdown(socket.SHUT_RDWR)

    assert "protected mode" in f"{error} {trouble_of(error).remedy}"


def test_a_second_caller_meets_the_same_cause(stage: Stage) -> None:
    """While an error is believed, it is told as at first."""
    client = open_client(
        stage.url("rediss+cluster://{single}"), timeout_seconds=SHORT_SECONDS, retry_seconds=0.0
    )
    for _ in range(2):
        with pytest.raises(QueueUnavailable) as caught, unavailable("a test"):
            client.hgetall("vwo:1:queues")
        assert trouble_of(caught.value).word == "tls"


def test_what_is_no_redis_is_told_as_that() -> None:
    """A web server answers what Redis would not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        error = met(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        listener.shutdown(socket.SHUT_RDWR)

    assert trouble_of(error).word == "url"


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (
            ResponseError(
                "DENIED Redis is running in protected mode because protected mode is enabled"
            ),
            "protected",
        ),
        (PermissionError(13, "Permission denied"), "forbidden"),
        (TryAgainError("Multiple keys request during rehashing of slot"), "moving"),
        (ResponseError("Unknown Redis command called from script"), "unknown"),
        (ResponseError("MOVED 503 10.0.0.2:6379"), "of_cluster"),  # as redis-py 5.0 reads it
        (ResponseError("CROSSSLOT Keys in request don't hash to the same slot"), "of_cluster"),
    ],
)
def test_what_no_server_of_a_test_says_is_told_apart(error: Exception, word: str) -> None:
    """Errors of other hosts, users and moments, in the words of Redis and the system."""
    told: Exception = error
    if isinstance(error, OSError):  # as redis-py does
        told = redis_py.ConnectionError(f"Error 13 connecting to /a.sock. {error}")
        told.__cause__ = error

    assert trouble_of(told).word == word


def test_who_may_not_choose_the_database_gets_the_line(stage: Stage) -> None:
    """The doctor cannot ask for rights then, and prints the one that is missing; it suffices."""
    with client_of(stage.server) as admin:
        admin.execute_command("ACL SETUSER few on >pw ~* &* +@all -select")
        url = stage.url("redis://few:pw@{single}/3")
        [found] = troubles(url)
        line = re.search(r"ACL SETUSER [^;]+", found.remedy)
        assert line is not None
        assert "'few' may not run SELECT" in found.what

        admin.execute_command(*shlex.split(line[0]))

        assert not troubles(url)


def test_who_may_not_ask_a_cluster_gets_the_line(stage: Stage) -> None:
    """redis-py says of it that there is no Cluster."""
    url = stage.url("redis+cluster://few:pw@{cluster}")
    _on_each_node(stage, "ACL SETUSER few on >pw ~* &* +@all -cluster")
    [found] = troubles(url)
    line = re.search(r"ACL SETUSER [^;]+", found.remedy)
    assert line is not None
    assert "'few' may not run CLUSTER" in found.what

    _on_each_node(stage, line[0])

    assert "CLUSTER|SLOTS" not in str(troubles(url))


def _on_each_node(stage: Stage, line: str) -> None:
    for node in stage.cluster.nodes:
        with client_of(node) as admin:
            admin.execute_command(*shlex.split(line))


@pytest.mark.parametrize(
    "kind", ["redis://looker:pw@{single}", "redis+cluster://looker:pw@{cluster}"]
)
def test_a_change_without_the_right_to_load_its_script_is_told_as_that(
    stage: Stage, kind: str
) -> None:
    """With the user's name, also on a Cluster, and the second time."""
    line = "ACL SETUSER looker on >pw ~vwo:* +evalsha +cluster +ping +hgetall +info"
    _on_each_node(stage, line)
    with client_of(stage.server) as admin:
        admin.execute_command(*shlex.split(line))
    client = open_client(stage.url(kind), timeout_seconds=PATIENT_SECONDS)

    for _ in range(2):
        [answer] = run_all(client, script("stop"), [Call(("vwo:1:{a}:meta",), ())])
        assert describe(answer).startswith("Redis user 'looker' may not run SCRIPT")
