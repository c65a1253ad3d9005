"""Programs that a test runs beside itself: started with a log file, waited for, ended by pid.

Each runs in a session of its own, so that its children can be told from everybody else's: whoever
is left of them when the program has ended makes `stop` fail. If the tests themselves are killed, the
kernel kills the program (on Linux), and with it go the children that look after their parent.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import vwo_celery
from tools.waiting import PATIENCE, wait_until
from vwo_celery.testing.redis_server import death_bound_launcher

Found = TypeVar("Found")

#: Folder of the vwo_celery under test, source tree or wheel.
_PACKAGE_FOLDER = Path(vwo_celery.__file__).parents[1]
_LOG_TAIL_CHARACTERS = 4_000
_STOP_TIMEOUT_SECONDS = 10.0
#: States of a process that has ended and waits for its parent or init to collect it.
_ENDED = ("Z", "X")


class Process:
    """One program, running from `start` (or `with`) to `stop`.

    Args:
        *command: The program and its arguments; "python" stands for this interpreter.
        folder: Where its log goes, as NAME.log; usually `tmp_path`.
        name: Its name in errors, and of its log.
        env: Variables to set besides our own; None unsets one.
        cwd: Its working folder, which also leads its PYTHONPATH; None for *folder*.
        stop_timeout_seconds: How long it may take to end after SIGTERM, and then its children.
        has_input: Whether it has an input, which `say` writes to.
    """

    def __init__(
        self,
        *command: str,
        folder: Path,
        name: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stop_timeout_seconds: float = _STOP_TIMEOUT_SECONDS,
        has_input: bool = False,
    ) -> None:
        program = sys.executable if command[0] == "python" else shutil.which(command[0])
        assert program is not None, f"there is no program {command[0]!r} on PATH"
        self.command = [program, *command[1:]]
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._cwd = cwd if cwd is not None else folder
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": self._python_path()}
        for variable, value in (env or {}).items():
            self._env.pop(variable, None)
            if value is not None:
                self._env[variable] = value
        self._stop_timeout_seconds = stop_timeout_seconds
        self._stdin = subprocess.PIPE if has_input else subprocess.DEVNULL
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._log_start = 0

    def __repr__(self) -> str:
        return f"<Process {self.name}: {' '.join(self.command)}>"

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its session."""
        return self._started().pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._started().poll()

    def log(self) -> str:
        """Everything it has written to stdout and stderr."""
        return self.log_path.read_text("utf-8", "replace")

    def start(self) -> None:
        """Start it; the log continues that of an earlier start."""
        self._asked = False
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*death_bound_launcher(), *self.command],
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )

    def wait_until(
        self, predicate: Callable[[], Found], timeout_seconds: float = 20.0, *, what: str = ""
    ) -> Found:
        """The first true answer of *predicate*; fails at once if the program ends before it.

        Raises:
            AssertionError: It ended, or no true answer came in time; shows the end of its log.
        """

        def answer() -> list[Found]:
            ended = self.exit_code is not None
            found = predicate()
            return [found] if found or ended else []

        try:
            (found,) = wait_until(answer, timeout_seconds, what=what)
        except TimeoutError as exc:
            raise AssertionError(self._describe(f"{exc}")) from exc
        assert found, self._describe(f"ended with {self.exit_code} before {what or predicate}")
        return found

    def wait_for_log(self, text: str, timeout_seconds: float = 20.0) -> None:
        """Return once it has written *text* since its last start.

        Raises:
            AssertionError: It ended without, or time is up.
        """
        self.wait_until(lambda: text in self._news(), timeout_seconds, what=f"{text!r} in its log")

    def wait_for_port(self, port: int, timeout_seconds: float = 20.0) -> None:
        """Return once *port* of 127.0.0.1 accepts connections.

        Raises:
            AssertionError: It ended before, or time is up.
        """
        self.wait_until(lambda: _is_open(port), timeout_seconds, what=f"port {port}")

    def wait(self, timeout_seconds: float = 20.0) -> int:
        """Its exit code, once it has ended by itself.

        Raises:
            AssertionError: It still runs when time is up; it then goes on running.
        """
        longest = PATIENCE * timeout_seconds
        try:
            return self._started().wait(longest)
        except subprocess.TimeoutExpired as exc:
            raise AssertionError(self._describe(f"still ran after {longest:g} s")) from exc

    def say(self, line: str) -> None:
        """Write a line to its input."""
        stdin = self._started().stdin
        assert stdin is not None, f"{self.name} has no input"
        stdin.write(f"{line}\n".encode())
        stdin.flush()

    def ask_to_end(self) -> None:
        """Send SIGTERM if it still runs; further calls do nothing."""
        if self.exit_code is None and not self._asked:
            self._asked = True
            self._started().send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children at once (SIGKILL), as a machine that loses power would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._started().wait()

    def stop(self) -> None:
        """End it with SIGTERM if it still runs; in every case no process of it is left.

        Raises:
            AssertionError: It took too long, or left children behind; all were killed then.
        """
        process = self._process
        if process is None:
            return
        self.ask_to_end()
        try:
            process.wait(PATIENCE * self._stop_timeout_seconds)
            if process.stdin is not None:
                process.stdin.close()
            wait_until(lambda: not _members(self.pid), self._stop_timeout_seconds)
        except (subprocess.TimeoutExpired, TimeoutError) as exc:
            running = ", ".join(_members(self.pid))
            self.kill()
            raise AssertionError(self._describe(f"was to end; there was still {running}")) from exc

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def _news(self) -> str:
        """Its log since the last start."""
        return self.log_path.read_bytes()[self._log_start :].decode("utf-8", "replace")

    def _python_path(self) -> str:
        inherited = os.environ.get("PYTHONPATH")
        folders = [str(self._cwd), str(_PACKAGE_FOLDER), *([inherited] if inherited else [])]
        return os.pathsep.join(folders)

    def _describe(self, fate: str) -> str:
        return f"{self!r} {fate}; its log ends:\n{self.log()[-_LOG_TAIL_CHARACTERS:]}"


class Processes:
    """The programs of a test, ended together, also when starting one fails.

    Args:
        folder: Where their logs go.
        env: Variables that all of them have.
        cwd: Their working folder; None for *folder*.
        stop_timeout_seconds: As of `Process`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stop_timeout_seconds: float = _STOP_TIMEOUT_SECONDS,
    ) -> None:
        self._folder = folder
        self._env = dict(env or {})
        self._cwd = cwd
        self._stop_timeout_seconds = stop_timeout_seconds
        self._started: list[Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *command: str, name: str, **env: str) -> Process:
        """Start a program; see `Process`."""
        process = Process(
            *command, folder=self._folder, name=name, env={**self._env, **env}, cwd=self._cwd,
            stop_timeout_seconds=self._stop_timeout_seconds,
        )  # fmt: skip
        process.start()
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End all that still run.

        Raises:
            AssertionError: One did not end as it should; all are gone nevertheless.
        """
        with ExitStack() as stops:
            for process in self._started:
                stops.callback(process.stop)
                process.ask_to_end()
        self._started.clear()


def _members(group: int) -> list[str]:
    """Processes of a group that still run, each as "PID NAME" where /proc exists."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    if sys.platform != "linux":
        return [f"a process of group {group}"]
    stats = (_read(path) for path in Path("/proc").glob("[0-9]*/stat"))
    return [name for name, state, its_group in map(_parsed, filter(None, stats))
            if its_group == group and state not in _ENDED]  # fmt: skip


def _parsed(stat: str) -> tuple[str, str, int]:
    """Id and name, state and process group from a /proc/PID/stat (proc(5))."""
    name, _, rest = stat.rpartition(")")
    state, _, group = rest.split()[:3]
    return f"{name})", state, int(group)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""  # it has just ended


def _is_open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
