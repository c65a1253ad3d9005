"""The recipes for TLS, Sentinel, Cluster and Valkey in docs/how-to: their commands and files, run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.blocks import blocks_of, write_files
from tools.command_line import run_command
from tools.deployed import REDIS_CONF
from tools.processes import Process
from tools.producers import connect
from tools.redis_groups import SERVICE, cluster_port
from tools.waiting import wait_until
from vwo_celery.celery.app import make_app
from vwo_celery.errors import SettingsError
from vwo_celery.receipts import IN_REDIS
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer, free_port
from vwo_celery.testing.redis_binary import find_redis_server

DOCS = Path(__file__).parents[3] / "docs" / "how-to"
TLS, FAILOVER = DOCS / "redis-tls.md", DOCS / "redis-failover.md"
_READY_SECONDS = 20.0


def url_of(page: Path, scheme: str, name: str = "REDIS_URL") -> str:
    """The URL of a page that begins with *scheme*."""
    (found,) = re.findall(
        rf"(?m)VWO_CELERY_{name}=({re.escape(scheme)}://\S+)$", page.read_text("utf-8")
    )
    return str(found)


def commands(page: Path, program: str) -> str:
    """The block of a page for a shell that begins with *program*."""
    (found,) = [
        block.text for block in blocks_of(page)
        if block.language == "sh" and block.text.startswith(program)
    ]  # fmt: skip
    return found


def run_in_shell(text: str, folder: Path) -> str:
    """What a shell prints that runs *text*, and stops at the first error."""
    ran = subprocess.run(
        ["sh", "-e", "-c", text],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def doctor(*options: str) -> dict[str, str]:
    """What the doctor says of each check."""
    found = json.loads(run_command(["doctor", "--json", *options]).stdout)
    return {each["check"]: f"{each['state']}: {each['what']}" for each in found}


def speaks_tls() -> bool:
    """Whether the server under test is built with TLS: only then it misses the certificate first."""
    words = [find_redis_server(), "--port", "0", "--tls-port", "1"]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20).stdout
    return "Failed to configure TLS" in told


@contextmanager
def server(folder: Path, name: str, text: str, port: int, *options: str) -> Iterator[None]:
    """A server with the text of its file, in a folder of its own, on a port of loopback."""
    own = folder / f"{name}-{port}"
    own.mkdir()
    (own / name).write_text(f"{text}\nbind 127.0.0.1\ndir {own}\n")
    words = (find_redis_server(), str(own / name), *options)
    with Process(*words, folder=own, name="server") as process:
        process.wait_for_port(port, _READY_SECONDS)
        yield


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server with the certificate and the lines of the page."""
    if not speaks_tls():
        packaged = os.environ.get("CI") and find_redis_server().startswith("/usr/bin/")
        (pytest.fail if packaged else pytest.skip)(f"{find_redis_server()} is built without TLS")
    assert shutil.which("openssl"), "no openssl here: apt-get install openssl"
    folder = tmp_path_factory.mktemp("tls")
    run_in_shell(commands(TLS, "openssl").replace("cache.example", "localhost"), folder)
    write_files(TLS, folder)
    port = free_port()
    text = (folder / "tls.conf").read_text().replace("/etc/redis/tls", str(folder))
    url = url_of(TLS, "rediss").replace("/etc/ssl/our-ca.pem", f"{folder}/ca.crt")
    with server(folder, "redis.conf", text.replace("tls-port 6380", f"tls-port {port}"), port):
        yield url.replace("cache.example:6380", f"localhost:{port}")


def test_the_steps_for_tls_lead_to_a_server_that_is_taken(tls_url: str) -> None:
    """With the URL of the page events are stored, and Celery's broker answers; all is checked."""
    assert connect(tls_url, spool_dir="").enqueue({"n": 1}) == IN_REDIS

    found = doctor("--redis-url", tls_url)
    assert found["redis"].startswith("ok")
    assert found["broker"].startswith("ok")
    assert "broker security" not in found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("?ssl_ca_certs", "?client_name"), "self-signed certificate|unable to get local issuer"),
        (("localhost", "127.0.0.1"), "certificate is not valid for '127.0.0.1'"),
        (("rediss", "redis"), "ssl_ca_certs"),
    ],
)
def test_what_goes_wrong_with_tls_looks_as_the_page_says(
    tls_url: str, wrong: tuple[str, str], said: str
) -> None:
    """No authority, another name, no TLS."""
    told = run_command(["status", "--redis-url", tls_url.replace(*wrong)])

    assert told.exit_code == 1
    assert re.search(said, " ".join((told.stdout + told.stderr).split())), told.stdout + told.stderr


def test_a_url_without_tls_is_cut_off_as_the_page_says(tls_url: str) -> None:
    """Redis closes the connection, and the command says so."""
    told = run_command(["status", "--redis-url", f"redis{tls_url.partition('?')[0][6:]}"])

    assert told.exit_code == 1
    assert re.search("(?i)reset by peer|closed by server", told.stdout + told.stderr), told.stderr


# --- Sentinel -------------------------------------------------------------------------------------


@pytest.fixture
def sentinel_ports(tmp_path: Path) -> Iterator[list[int]]:
    """Three Sentinels with the file of the page, which know each other, and their master."""
    write_files(FAILOVER, tmp_path)
    text = (tmp_path / "sentinel.conf").read_text()
    master, *ports = (free_port() for _ in range(4))
    text = text.replace("10.0.0.1 6379", f"127.0.0.1 {master}")
    with ExitStack() as running:
        running.enter_context(server(tmp_path, "redis.conf", f"port {master}", master))
        for port in ports:
            here = text.replace("port 26379", f"port {port}")
            running.enter_context(server(tmp_path, "sentinel.conf", here, port, "--sentinel"))
        wait_until(lambda: all(map(knows_others, ports)), _READY_SECONDS, what="Sentinels")
        yield ports


def knows_others(port: int) -> bool:
    """Whether a Sentinel has found both others."""
    with redis_py.Redis(port=port, decode_responses=True, protocol=2) as client:
        state = client.execute_command("SENTINEL MASTER", SERVICE)
    return int(state["num-other-sentinels"]) == 2


def test_the_steps_for_sentinel_lead_to_workers_that_answer(
    sentinel_ports: list[int], tmp_path: Path
) -> None:
    """Events go by our URL, Celery's messages by Celery's and the module of the page."""
    names = {f"sentinel-{n}:26379": f"127.0.0.1:{port}" for n, port in enumerate(sentinel_ports, 1)}

    def here(url: str) -> str:
        return re.sub(r"sentinel-\d:26379", lambda found: names[found[0]], url)

    url = here(url_of(FAILOVER, "redis+sentinel"))
    broker = here(url_of(FAILOVER, "sentinel", "BROKER_URL"))
    env = {"VWO_CELERY_REDIS_URL": url, "VWO_CELERY_BROKER_URL": broker, "COLUMNS": "400"}
    assert connect(url, spool_dir="").enqueue({"n": 1}) == IN_REDIS
    with (
        pytest.raises(ValueError, match="'master_name' transport option must be specified"),
        make_app(Settings(redis_url=url, broker_url=broker)).connection_for_write() as connection,
    ):
        connection.default_channel.client.ping()
    options = ("--pool=solo", "--without-mingle", "--loglevel=INFO")
    words = ("python", "-m", "celery", "-A", "fleet", "worker", *options)

    with Process(*words, folder=tmp_path, name="worker", env=env) as worker:
        worker.wait_for_log("ready.")
        asked = Process(
            "python", "-m", "vwo_celery", "doctor", "--app", "fleet",
            folder=tmp_path, name="doctor", env=env,
        )  # fmt: skip
        with asked:
            asked.wait(60)

    assert re.search(r"ok +sentinel .* is the master, .*all of 3 Sentinels name it", asked.log())
    assert re.search(r"ok +broker +sentinel://\S+ answers", asked.log())
    assert "1 worker consumes Celery queue 'vwo_celery'" in asked.log()


# --- Cluster --------------------------------------------------------------------------------------


def test_the_steps_for_a_cluster_lead_to_one_that_takes_events(tmp_path: Path) -> None:
    """Six nodes with the file of the page, joined by its command; the URL of the page leads to them."""
    if not shutil.which("redis-cli"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no redis-cli: apt-get install redis-tools"
        )
    write_files(FAILOVER, tmp_path)
    text = (tmp_path / "node.conf").read_text()
    ports: dict[str, int] = {}
    while len(set(ports.values())) < 6:
        ports = {f"10.0.0.{n}:6379": cluster_port() for n in range(1, 7)}

    def here(text: str) -> str:
        return re.sub(r"10\.0\.0\.\d:6379", lambda found: f"127.0.0.1:{ports[found[0]]}", text)

    with ExitStack() as running:
        for port in ports.values():
            node = text.replace("port 6379", f"port {port}")
            running.enter_context(server(tmp_path, "node.conf", node, port))

        made = run_in_shell(here(commands(FAILOVER, "redis-cli --cluster")), tmp_path)

        url = here(url_of(FAILOVER, "redis+cluster"))
        queue = connect(url, spool_dir="")
        wait_until(lambda: queue.enqueue({"n": 1}) == IN_REDIS, _READY_SECONDS)
        found = doctor("--redis-url", url)
    assert "[OK] All 16384 slots covered." in made
    assert found["redis"].startswith("ok")
    assert "is a Redis Cluster, which Celery cannot use as broker" in found["broker"]
    with pytest.raises(SettingsError, match="broker_url must be set"):
        make_app(Settings(redis_url=url))


# --- Valkey ---------------------------------------------------------------------------------------


def test_the_file_for_redis_does_for_valkey_too(tmp_path: Path) -> None:
    """As the page has its own file include it; the doctor names the server and its release."""
    (tmp_path / "valkey.conf").write_text(f"include {REDIS_CONF}\n")
    with RedisServer(arguments=("--include", str(tmp_path / "valkey.conf"))) as server:
        found = doctor("--redis-url", server.url)

    told_by_server = subprocess.run(
        [find_redis_server(), "--version"], capture_output=True, text=True, check=True
    ).stdout
    release: Any = re.search(r"(Redis|Valkey) server v=(\d+\.\d+\.\d+)", told_by_server)
    assert found["redis"] == f"ok: {release[1]} {release[2]} answers"
    for check in ("eviction", "persistence", "memory"):
        assert found[check].startswith("ok"), found[check]
