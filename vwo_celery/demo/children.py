"""Programs that the demo starts, freezes, kills and ends; none of them outlives it.

Each leads a session of its own: Ctrl-C reaches only the demo, which ends
its programs in order, and a worker's children end with the worker. If the demo itself is killed, on
Linux the kernel kills its programs; elsewhere they then go on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PARENT_VARIABLE = "VWO_DEMO_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_STOP_TIMEOUT_SECONDS = 3.0
_STOP_POLL_SECONDS = 0.02
_LOG_TAIL_CHARACTERS = 1500


class Child:
    """One program, started by `start`.

    Args:
        name: What people call it.
        command: The program and its arguments.
        folder: Where its log goes; its working folder, unless *cwd* is another.
        env: All of its environment.
        cwd: Its working folder; None for *folder*.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._env = dict(env)
        self._cwd = cwd if cwd is not None else folder
        self._log_path = folder / f"{name.replace(' ', '-')}.log"
        self._shown = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, and before the start."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it, or start it again; its log goes on."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )

    def log_tail(self) -> str:
        """The end of what it has written."""
        try:
            return self._log_path.read_text("utf-8", "replace")[-_LOG_TAIL_CHARACTERS:].strip()
        except FileNotFoundError:
            return ""

    def new_lines(self) -> list[str]:
        """The whole lines that it has written since the last call."""
        try:
            with self._log_path.open("rb") as log:
                log.seek(self._shown)
                text, end, _ = log.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._shown += len(text) + len(end)
        return text.decode("utf-8", "replace").split("\n") if end else []

    def freeze(self) -> None:
        """Stop it and its children where they are; `thaw` lets them go on."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """End it and its children at once (SIGKILL), as a machine that loses power would."""
        self._signal_all(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to end in order (SIGTERM), its children with it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self.thaw()

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # none is left; macOS answers EPERM then


def stop_all(children: Sequence[Child], *, hurry: Callable[[], bool]) -> None:
    """Ask all *children* to end; after some seconds, or on *hurry*, kill those that still run."""
    deadline = time.monotonic() + _STOP_TIMEOUT_SECONDS
    for child in children:
        child.ask_to_stop()
    while any(child.running for child in children):
        if time.monotonic() >= deadline or hurry():
            break
        time.sleep(_STOP_POLL_SECONDS)
    for child in children:
        child.kill()


def die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent, *parent_pid*, ends; at once if it has ended."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def die_with_demo(environment: Mapping[str, str] = os.environ) -> None:
    """Call `die_with` for the demo, if the demo started this program."""
    if parent_pid := environment.get(PARENT_VARIABLE):
        die_with(int(parent_pid))
