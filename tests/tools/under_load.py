"""An installation with producers that never pause, around any form of Redis, with its own broker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis as redis_py

import vwo_celery
from tools.installation import ACCOUNT, KEY, Installation
from tools.processes import Process
from tools.waiting import wait_until
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.testing import Standin

TESTS = Path(__file__).parents[1]
#: Limits low enough that batches fill and leave all the time.
BATCH = {"events_per_request": 20, "request_time_interval": 1}
_QUIET_SECONDS = 4.0
_WORD_SECONDS = 20.0
#: What an error tells of each program's log.
_TOLD_CHARACTERS = 2_000


class Stream(Process):
    """A producer that never pauses; see `streaming_program`."""

    def receipts(self) -> dict[str, tuple[str, str]]:
        """Receipt of each event so far: where it went, and the reason ("-" for none)."""
        lines = self.log().rpartition("\n")[0].splitlines()
        words = (line.split() for line in lines)
        return {word[0]: (word[1], word[2]) for word in words if len(word) == 3 and "-" in word[0]}

    def stored(self) -> list[str]:
        """Names of the events that Redis has acknowledged."""
        return [name for name, (where, _) in self.receipts().items() if where == "redis"]

    def wait_for_more(self, events: int = 50) -> None:
        """Return once Redis has acknowledged *events* more."""
        had = len(self.stored())
        self.wait_until(
            lambda: len(self.stored()) >= had + events, _WORD_SECONDS, what="more receipts"
        )

    def finish(self) -> list[str]:
        """End it; return the names of all events that Redis acknowledged."""
        self.stop()
        assert "ended - -" in self.log().splitlines(), (
            self.log()
        )  # the drainer may have logged since
        return self.stored()


class LoadedInstallation(Installation):
    """Producers, workers and VWO around a Redis of any kind, while in use as a context.

    The broker is another Redis that never fails: kombu 5.7 may end a Celery worker that loses its
    broker during an acknowledgement, and only a supervisor would start it again.
    """

    def __init__(
        self, redis_url: str, broker_url: str, standin: Standin, folder: Path, **settings: Any
    ) -> None:
        super().__init__(redis_url, standin, folder)
        self.broker_url = broker_url
        self.settings: dict[str, Any] = {"redis_url": redis_url, "spool_dir": "", **settings}
        self.env |= {"VWO_CELERY_BROKER_URL": broker_url, "VWO_CELERY_SPOOL_DIR": ""}

    def __enter__(self) -> LoadedInstallation:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def queue(self, **settings: Any) -> vwo_celery.Queue:
        """A producer in this process, of the same queue as the streams."""
        return vwo_celery.connect(
            self.destination, batch_event_data=BATCH, **self.settings | settings
        )

    def stream(self, name: str, **settings: Any) -> Stream:
        """Start a producer that never pauses."""
        options = {
            "name": name, "batch": BATCH, "settings": self.settings | settings,
            "destination": {
                "account_id": ACCOUNT, "sdk_key": KEY, "generation": "legacy",
                "base_url": self.standin.url,
            },
        }  # fmt: skip
        process = Stream(
            "python", "-m", "tools.streaming_program", json.dumps(options),
            folder=self.folder, name=name, cwd=TESTS,
        )  # fmt: skip
        self.started.append(process)
        process.start()
        return process

    def wait_for_delivery(self, names: Iterable[str], timeout_seconds: float = 20.0) -> None:
        """Return once VWO has accepted all of these events.

        Raises:
            AssertionError: It has not in time.
        """
        wanted = set(names)
        with suppress(TimeoutError):
            wait_until(lambda: wanted <= set(self.delivered()), timeout_seconds)
        missing = wanted - set(self.delivered())
        assert not missing, (
            f"{len(missing)} of {len(wanted)} were not delivered: {sorted(missing)[:9]}; "
            f"{self._state()}"
        )

    def sent_twice(self) -> dict[str, int]:
        """Events that VWO was sent more than once, and how often."""
        return {name: count for name, count in Counter(self.delivered()).items() if count > 1}

    def _state(self) -> str:
        """What the queue holds, and the last lines of each program: for the error of a test."""
        queue = self.queue()
        held = [str(take_snapshot(shard)) for shard in producer_of(queue).shards]
        logs = [f"{each.name}:\n{each.log()[-_TOLD_CHARACTERS:]}" for each in self.started]
        return "\n".join((*held, f"spooled: {queue.spooled()}", *logs))

    def _is_quiet(self) -> bool:
        with redis_py.Redis.from_url(self.broker_url) as client:
            return not client.llen("broker:celery")
