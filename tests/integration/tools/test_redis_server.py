"""`testing.RedisServer`: found, started, stopped, killed, frozen, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from tools.waiting import wait_until
from vwo_celery.testing import RedisServer, RedisServerFailed, RedisServerMissing, free_port
from vwo_celery.testing.redis_binary import ENVIRONMENT_VARIABLE, find_redis_server


def connect(server: RedisServer, timeout_seconds: float = 5) -> redis.Redis:
    """A client that does not retry."""
    return redis.Redis.from_url(server.url, socket_timeout=timeout_seconds, decode_responses=True)


def ended(pid: int) -> bool:
    """Whether no process with this id runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_a_server_of_ones_own() -> None:
    """The server answers on loopback inside `with`; afterwards process and folder are gone."""
    with RedisServer() as server:
        info = connect(server).info("server")
        folder, pid = server.folder, server.pid

        assert info["process_id"] == pid
        assert info["tcp_port"] == server.port
        assert folder.is_dir()

    assert ended(pid)
    assert not folder.exists()
    with pytest.raises(RedisServerFailed, match="not running"):
        _ = server.pid


def test_two_servers_do_not_meet() -> None:
    """Two servers have different ports and folders."""
    with RedisServer() as one, RedisServer() as other:
        connect(one).set("key", "one")

        assert connect(other).get("key") is None
        assert one.folder != other.folder


def test_options_reach_the_server() -> None:
    """The memory bound and the caller's further arguments reach the server."""
    with RedisServer(maxmemory_bytes=50_000_000, arguments=("--databases", "3")) as server:
        client = connect(server)

        assert client.config_get("maxmemory*")["maxmemory"] == "50000000"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("databases")["databases"] == "3"


def test_an_append_only_file_survives_a_sigkill() -> None:
    """With appendonly, acknowledged writes survive kill and start, with the same port and folder."""
    with RedisServer(appendonly=True) as server:
        port, folder, pid = server.port, server.folder, server.pid
        connect(server).rpush("list", *range(1_000))

        server.kill()
        server.start()

        assert connect(server).llen("list") == 1_000
        assert (server.port, server.folder) == (port, folder)
        assert server.pid != pid


def test_without_append_only_file_a_restart_forgets() -> None:
    """Without an append-only file, a restarted server comes back empty."""
    with RedisServer() as server:
        connect(server).set("key", "value")

        server.restart()

        assert connect(server).get("key") is None


def test_a_stopped_server_refuses_connections() -> None:
    """After stop() connections are refused until start()."""
    with RedisServer() as server:
        server.stop()

        with pytest.raises(redis.ConnectionError, match="refused"):
            connect(server).ping()


def test_a_paused_server_is_silent_and_then_goes_on() -> None:
    """pause() keeps the port open and answers nothing; resume() answers again."""
    with RedisServer() as server:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            connect(server, timeout_seconds=0.1).ping()
        server.resume()

        assert connect(server).ping()


def test_a_paused_server_can_be_closed() -> None:
    """A paused server can be closed: a test that fails meanwhile leaves no process."""
    with RedisServer() as server:
        pid = server.pid
        server.pause()

    assert ended(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_dies_with_its_parent() -> None:
    """A SIGKILL of the program that started the server ends the server as well."""
    program = (
        "from vwo_celery.testing import RedisServer; s = RedisServer(); s.start();"
        "print(s.pid, s.folder, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()

    parent.kill()
    parent.communicate(timeout=10)

    wait_until(lambda: ended(int(pid)), what="the end of the Redis server")
    for left in Path(folder).iterdir():
        left.unlink()
    Path(folder).rmdir()


def test_an_unclosed_server_ends_with_the_interpreter() -> None:
    """A program that forgets to close the server leaves no process or folder, nor does its child."""
    program = (
        "import os\n"
        "from vwo_celery.testing import RedisServer\n"
        "s = RedisServer(); s.start()\n"
        "if os.fork() == 0: raise SystemExit\n"
        "_, status = os.wait()\n"
        "alive = os.path.exists(f'/proc/{s.pid}') and s.folder.exists()\n"
        "print(s.pid, s.folder, status == 0 and alive)\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    pid, folder, survived_the_fork = ran.stdout.split()
    assert survived_the_fork == "True"
    assert ended(int(pid))
    assert not Path(folder).exists()


def test_it_outlives_the_thread_that_started_it() -> None:
    """A server keeps running after the thread that started it has ended."""
    server = RedisServer()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()

    with server:
        assert connect(server).ping()


def test_a_server_that_cannot_start_says_why() -> None:
    """If the server cannot start, the error has the end of its log; no process or folder is left."""
    server = RedisServer(arguments=("--databases", "none"))

    with pytest.raises(RedisServerFailed, match="databases"):
        server.start()

    with pytest.raises(RedisServerFailed, match="no folder"):
        _ = server.folder


def test_a_taken_port_is_an_error_where_it_was_asked_for() -> None:
    """A fixed port that is taken is an error, and not replaced by another one."""
    with RedisServer() as first:
        second = RedisServer(port=first.port)

        with pytest.raises(RedisServerFailed, match="already in use"):
            second.start()


def test_the_server_named_by_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """VWO_CELERY_REDIS_SERVER overrides PATH."""
    chosen = tmp_path / "my-redis"
    chosen.symlink_to(find_redis_server())
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(chosen))

    assert find_redis_server() == str(chosen)


def test_a_missing_server_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An old server, another program or an empty PATH lead to one error with the remedy."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=5.0.7 sha=0\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "/nonexistent/redis")
    monkeypatch.setattr("vwo_celery.testing.redis_binary._WHEELS", ())

    with pytest.raises(RedisServerMissing) as caught:
        find_redis_server()

    assert f"{old} (too old)" in str(caught.value)
    assert "/nonexistent/redis (no Redis)" in str(caught.value)
    assert "apt-get install redis-server" in str(caught.value)


def test_ports_stay_out_of_the_ephemeral_range() -> None:
    """Ports are outside the ephemeral range: no client can get the port of a stopped server."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 49_152

    assert all(free_port() < lowest for _ in range(50))


def test_a_pid_is_not_reused_by_a_signal() -> None:
    """Stopping a server that has crashed is no error and signals no other process."""
    with RedisServer() as server:
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()

        assert connect(server).ping()
