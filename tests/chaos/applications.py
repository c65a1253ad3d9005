"""The applications of a fleet: programs that fill the present queue, each with its receipts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chaos.application import Load
from chaos.deployment import PYTHON_PATH
from chaos.kit import EVENTS_PER_REQUEST, PARALLEL_SENDS, Traffic
from chaos.receipts import Receipts
from tools.installation import KEY
from tools.processes import Process


class Applications:
    """Programs on one host, which share a spool; each queue gets others.
    Args:
        redis_url: Where they find Redis.
        vendor_url: Where VWO is for them.
    Attributes:
        running: Those that are to run: whoever supervises starts one again that ends.
        account_of: The account of each that ever ran, by name.
    """

    def __init__(self, redis_url: str, vendor_url: str) -> None:
        self.running: list[Process] = []
        self.account_of: dict[str, int] = {}
        self._redis_url = redis_url
        self._vendor_url = vendor_url

    def turn_to(
        self, folder: Path, traffic: Traffic, accounts: Sequence[int], relay_ports: Sequence[int]
    ) -> None:
        """Let those that start from now on fill another queue.
        Args:
            folder: An empty folder for their logs, receipts and spool.
            traffic: Their load.
            accounts: Their accounts, in turn.
            relay_ports: The relays through which they send; none if they enqueue.
        """
        self.folder, self.receipts, self.spool = folder, Receipts(folder), folder / "spool"
        self._traffic, self._accounts, self._relay_ports = traffic, accounts, relay_ports

    def start(self, **env: str) -> None:
        """Start as many as the traffic names, with these variables besides."""
        settings = {
            "VWO_CELERY_REDIS_URL": self._redis_url,
            "VWO_CELERY_SPOOL_DIR": str(self.spool),
            "VWO_CELERY_MAX_PARALLEL_SENDS": str(PARALLEL_SENDS),
            "PYTHONPATH": PYTHON_PATH,
        }
        for _ in range(self._traffic.applications):
            name = f"app{len(self.account_of) + 1}"
            process = Process(
                "python", "-m", "chaos.application", self._load(name),
                folder=self.folder, name=name, env={**settings, **env},
            )  # fmt: skip
            process.start()
            self.running.append(process)

    def _load(self, name: str) -> str:
        traffic, number = self._traffic, len(self.running)
        self.account_of[name] = self._accounts[number % len(self._accounts)]
        load = Load(
            name=name,
            receipts=str(self.receipts.file(name)),
            quiet=str(self._quiet),
            account=self.account_of[name],
            sdk_key=KEY,
            base_url=self._vendor_url,
            per_second=traffic.per_second,
            burst=traffic.burst,
            burst_every_seconds=traffic.burst_every_seconds,
            jitter=traffic.jitter,
            seed=len(self.account_of),
            poison_every=traffic.poison_every,
            batch={"events_per_request": EVENTS_PER_REQUEST, "request_time_interval": 1},
            relays=tuple(self._relay_ports),
            form=traffic.forms[number % len(traffic.forms)],
        )
        return json.dumps(msgspec.to_builtins(load))

    @property
    def _quiet(self) -> Path:
        return self.folder / "quiet"

    def hush(self) -> None:
        """Stop their events; the processes stay."""
        self._quiet.touch()

    def kill(self) -> None:
        """End them all with SIGKILL."""
        for process in self.running:
            process.kill()
        self.running.clear()

    def end(self) -> None:
        """End them all by SIGTERM."""
        for process in self.running:
            process.ask_to_end()
        for process in self.running:
            process.stop()
        self.running.clear()
