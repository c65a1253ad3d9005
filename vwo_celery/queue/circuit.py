"""A destination's circuit: open after failures in a row, and then only one probe at a time may ask.

Place: an edge; owns one key in Redis for each queue, which all workers share. An open circuit holds
the queue's shards, so that nothing is claimed; that it closed is told to the shards by whoever probed,
and each shard asks by itself when its hold is over. If the probing process dies, its leave to probe
runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.batches import as_ms
from vwo_celery.queue.keys import new_token, shard_keys
from vwo_celery.queue.scripts import script
from vwo_celery.settings import Settings

#: A destination that is down is asked at least so often, unless it asked for more time itself.
LONGEST_PAUSE_SECONDS = 30.0
_PROBE_MARGIN_SECONDS = 5.0
_CLOSED, _PROBE = 1, 2


class Permit(NamedTuple):
    """Whether a destination may be asked now; the token is that of a probe, else ""."""

    answer: Literal["closed", "probe", "open"]
    until_ms: int
    token: str


class Circuit:
    """One queue's circuit. Every method raises QueueUnavailable where Redis does not answer.

    Args:
        client: A Redis client, see connections.
        queue: The queue's name.
        settings: A worker's; their namespace, `circuit_failures`, backoff and timeout matter.
        random: Gives a number from 0 to 1.
    """

    def __init__(
        self, client: Any, queue: str, settings: Settings, random: Callable[[], float]
    ) -> None:
        self._client = client
        self._queue = queue
        self._settings = settings
        self._random = random
        self._key = shard_keys(settings.namespace, queue, 0).circuit

    def ask(self) -> Permit:
        """Whether to send: closed, or the caller is the probe, or open until when."""
        token, settings = new_token(), self._settings
        probe_ms = as_ms(settings.request_timeout_seconds + _PROBE_MARGIN_SECONDS)
        longest_ms = as_ms(max(settings.backoff_max_seconds, LONGEST_PAUSE_SECONDS)) + probe_ms
        with unavailable(f"look at the circuit of {self._queue}"):
            answer, until_ms = script("permit").run(
                self._client, (self._key,), (token, probe_ms, longest_ms)
            )
        if answer == _CLOSED:
            return Permit("closed", 0, "")
        return (
            Permit("probe", until_ms, token) if answer == _PROBE else Permit("open", until_ms, "")
        )

    def note_failure(
        self, *, delivered_ms: int, floor_seconds: float | None, probe: str
    ) -> float | None:
        """Count a failure; seconds until the next probe, None if the circuit is closed.

        Args:
            delivered_ms: When VWO last accepted something, as far as the caller knows; 0 for never.
            floor_seconds: How long VWO asked us to wait; None if it did not.
            probe: Token of the caller's probe, "" if it was none.
        """
        settings = self._settings
        longest = min(LONGEST_PAUSE_SECONDS, settings.backoff_max_seconds)
        floor = min(floor_seconds or 0.0, settings.backoff_max_seconds)
        arguments = (
            settings.circuit_failures, as_ms(2 * settings.backoff_base_seconds), as_ms(longest),
            as_ms(floor), f"{self._random():.6f}", delivered_ms, probe,
        )  # fmt: skip
        with unavailable(f"note of a failure of {self._queue}"):
            wait_ms = script("trip").run(self._client, (self._key,), arguments)
        return wait_ms / 1000 if wait_ms else None

    def end_probe(self, probe: str, *, answered: bool) -> bool:
        """Give the leave to probe back; whether the circuit is closed now."""
        with unavailable(f"end of a probe of {self._queue}"):
            return bool(script("mend").run(self._client, (self._key,), (probe, int(answered))))
