"""A private Redis server: on a free port of loopback, in a folder that is deleted with it.

The server is real.

If this process dies, the server dies with it: on Linux the kernel kills it, elsewhere an exit hook
does, but not after a SIGKILL. Not for production: anybody on this host can connect.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from vwo_celery.errors import VwoCeleryError
from vwo_celery.testing.redis_binary import find_redis_server
from vwo_celery.testing.waiting import free_port, wait_for

_HOST = "127.0.0.1"
_STOP_TIMEOUT_SECONDS = 10
_PORT_TRIES = 5
_LOG_TAIL_BYTES = 2_000

# Runs in the child and becomes the server, with the same pid. prctl(PR_SET_PDEATHSIG = 1) outlives
# the exec; the check of the parent covers one that died before the call. A shell lets what it runs in
# the background ignore two signals, and so would the child until it has handlers of its own.
_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
for each in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(each, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class RedisServerFailed(VwoCeleryError):
    """A Redis server was started and ended, or did not answer; holds the end of its log."""


class RedisServer:
    """One Redis server, running from `start` (or `with`) to `close`.

    Args:
        appendonly: Keep an append-only file, written through at every command, so that not even a
            SIGKILL loses what the server acknowledged. Without it a restarted server is empty.
        maxmemory_bytes: Memory limit, policy noeviction; None for no limit.
        arguments: Further arguments for the server, such as ("--unixsocket", path); they win.
        port: TCP port of 127.0.0.1; None for a free one, kept over restarts.
        startup_timeout_seconds: Longest time from start to the first answer.
        within: Folder in which its own is made; None for that of temporary files.
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        maxmemory_bytes: int | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
        startup_timeout_seconds: float = 10.0,
        within: Path | None = None,
    ) -> None:
        self._options = _server_options(appendonly, maxmemory_bytes, arguments)
        self._asked_port = port
        self._startup_timeout_seconds = startup_timeout_seconds
        self._port = port
        self._within = within
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __repr__(self) -> str:
        state = f"pid {self._process.pid}" if self._process is not None else "not running"
        return f"RedisServer(port {self._port}, {state})"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1; the same over restarts.

        Raises:
            RedisServerFailed: It was never started.
        """
        if self._port is None:
            raise RedisServerFailed("this Redis server has no port yet: it was never started")
        return self._port

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id.

        Raises:
            RedisServerFailed: It is not running.
        """
        return self._running().pid

    @property
    def folder(self) -> Path:
        """The server's working folder: its log, its append-only file; gone after `close`.

        Raises:
            RedisServerFailed: It was never started, or is closed.
        """
        if self._folder is None:
            raise RedisServerFailed("this Redis server has no folder: it was never started")
        return self._folder

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, if it has ended by itself."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the server and return when it answers; nothing happens if it runs already.

        Raises:
            RedisServerMissing: There is no server to start.
            RedisServerFailed: It ended or stayed silent; no process is left.
        """
        if self._process is not None:
            return
        binary = find_redis_server()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="vwo-celery-redis-", dir=self._within))
            atexit.register(self.close)
        for remaining in reversed(range(_PORT_TRIES)):
            if self._port is None:
                self._port = free_port()
            try:
                self._launch(binary)
            except RedisServerFailed:
                if not remaining or "Address already in use" not in self.log():
                    self.close()
                    raise
                self._port = self._asked_port
            else:
                return

    def stop(self) -> None:
        """End the server in order (SIGTERM); `start` brings it back, same port, same folder."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server if it runs, and start it again with the same port and folder.

        Raises:
            RedisServerFailed: It does not come back.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT); it then answers what came meanwhile."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and delete its folder; a forked child's call does nothing."""
        if os.getpid() != self._owner:
            return
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        atexit.unregister(self.close)

    def log(self) -> str:
        """The end of what the server has logged."""
        path = self.folder / "redis.log"
        return path.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RedisServerFailed(f"the Redis server of port {self._port} is not running")
        return self._process

    def _launch(self, binary: str) -> None:
        command = [
            binary, "--bind", _HOST, "--port", str(self.port), "--dir", str(self.folder),
            *self._options,
        ]  # fmt: skip
        with (self.folder / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*death_bound_launcher(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only the program in front, which then ends its server in order.
                start_new_session=True,
            )
        self._await_answer(binary)

    def _await_answer(self, binary: str) -> None:
        process = self._running()
        try:
            wait_for(
                lambda: process.poll() is not None or _answers(self.port, process.pid),
                self._startup_timeout_seconds,
            )
        except TimeoutError:
            fate = f"did not answer within {self._startup_timeout_seconds:g} s"
        else:
            if process.poll() is None:
                return
            fate = f"ended with exit code {process.returncode}"
        self.kill()
        raise RedisServerFailed(f"the Redis server {binary} {fate}; its log ends:\n{self.log()}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _server_options(
    appendonly: bool, maxmemory_bytes: int | None, arguments: Sequence[str]
) -> list[str]:
    options = ["--save", "", "--daemonize", "no", "--appendonly", "yes" if appendonly else "no"]
    options += ["--appendfsync", "always"]
    if maxmemory_bytes is not None:
        options += ["--maxmemory", str(maxmemory_bytes), "--maxmemory-policy", "noeviction"]
    return [*options, *arguments]


def death_bound_launcher() -> list[str]:
    """Words to put before a command so that Linux kills it when this process dies.

    The kernel ties this to the thread that starts the child: from any thread but the main one the
    words are none, since the child would die with that thread.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]


def _answers(port: int, pid: int) -> bool:
    """True once process *pid* answers on *port* and has loaded its data, or wants a password."""
    answer = b""
    try:
        with socket.create_connection((_HOST, port), timeout=1) as connection:
            # INFO alone says which process answers and whether it has loaded its data.
            connection.sendall(b"INFO\r\n")
            while chunk := connection.recv(65_536):
                answer += chunk
                if answer.startswith(b"-") or b"\r\nloading:" in answer[:-2]:
                    break
    except OSError:
        return False
    ours = f"\r\nprocess_id:{pid}\r\n".encode() in answer
    return answer.startswith(b"-NOAUTH") or (ours and b"\r\nloading:0" in answer)
