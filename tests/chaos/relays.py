"""The relays of a fleet: `vwo-celery relay` as programs, each on a port of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tools.processes import Process
from tools.relays import RelayClient
from tools.waiting import wait_until
from vwo_celery.testing import free_port

#: The relay's own time to end, and some more.
_STOP_SECONDS = 20.0
_START_SECONDS = 30.0
#: Columns of /proc/net/tcp (proc(5)).
_REMOTE, _QUEUES = 2, 4


class Relays:
    """Programs that fill one store, and share a spool, as on one host.

    Args:
        folder: For their logs and the spool.
        count: Number of programs.
        workers: Processes of each.
        env: Their settings.

    Attributes:
        spool: Folder of the spool.
        running: Those that are to run: whoever supervises starts one again that ends.
    """

    def __init__(self, folder: Path, count: int, workers: int, env: Mapping[str, str]) -> None:
        self.spool = folder / "relay-spool"
        self.running: list[Process] = []
        self._workers = workers
        self.ports: dict[str, int] = {}
        for number in range(count):
            name = f"relay{number}"
            self.ports[name] = free_port()
            process = Process(
                "python", "-m", "vwo_celery", "relay", "--workers", str(workers), "--listen",
                f"127.0.0.1:{self.ports[name]}",
                folder=folder, name=name, stop_timeout_seconds=_STOP_SECONDS,
                env={"VWO_CELERY_SPOOL_DIR": str(self.spool), **env},
            )  # fmt: skip
            self.running.append(process)

    def start(self) -> None:
        """Start them all, and return when they serve."""
        for process in self.running:
            process.start()
        for process in self.running:
            self.wait_until_it_serves(process)

    def kill(self) -> None:
        """End them all at once."""
        for process in self.running:
            with suppress(AssertionError):  # it was never started
                process.kill()

    def stop(self) -> None:
        """End them all by SIGTERM."""
        for process in self.running:
            process.ask_to_end()
        for process in self.running:
            process.stop()

    def take(self) -> Process:
        """The first one, which is no longer started again if it ends."""
        return self.running.pop(0)

    def put_back(self, process: Process) -> None:
        """Start a program that was taken, and return when it serves."""
        process.start()
        self.running.append(process)
        self.wait_until_it_serves(process)

    def wait_until_it_serves(self, process: Process) -> None:
        """Return once each of a program's processes serves."""
        client = RelayClient(self.ports[process.name])
        process.wait_until(lambda: _is_healthy(client), _START_SECONDS, what="an answer")
        process.wait_until(lambda: len(self.serving(process)) >= self._workers, _START_SECONDS)

    def serving(self, process: Process) -> list[psutil.Process]:
        """The processes that serve for a program."""
        first = psutil.Process(process.pid)
        if self._workers == 1:
            return [first]
        return [each for each in first.children() if _is_worker(each)]

    def busiest(self, process: Process) -> psutil.Process:
        """Of those, the one with the most clients."""
        port = self.ports[process.name]
        return max(self.serving(process), key=lambda each: _clients(each, port))


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it has just ended
        return "spawn_main" in " ".join(process.cmdline())
    return False


def _clients(process: psutil.Process, port: int) -> int:
    """Number of connections that a process has with clients of its port."""
    found = process.net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


def _is_healthy(client: RelayClient) -> bool:
    with suppress(OSError):
        return client.get("/healthz").status == 200
    return False


def wait_until_read(client_ports: set[int]) -> None:
    """Return once a server on this host has read all that these local ports sent."""
    wait_until(lambda: client_ports <= _read_out(), what="the requests have been read")


def _read_out() -> set[int]:
    """Peers' ports of the connections of which the kernel holds nothing to be read."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {
        int(row[_REMOTE].partition(":")[2], 16)
        for row in rows
        if int(row[_QUEUES].partition(":")[2], 16) == 0
    }
