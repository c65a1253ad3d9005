"""A destination's circuit: it opens after failures in a row; then only one probe at a time is sent.

Stages 3 to 5; owns one key in Redis for each queue, shared by all workers. While the circuit
is open, the queue's shards are held, so that nothing is claimed. The worker whose probe succeeds
ends the holds; a shard whose hold runs out asks the circuit again. An outage is probed within
seconds, a refusal, such as 403, after a minute and up to an hour. If the probing process dies, its
leave to probe expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.words.batches import as_ms
from vwo_celery.queue.words.keys import new_token, shard_keys
from vwo_celery.settings import Settings

#: Longest pause between two probes of a destination, unless VWO asked for a longer one.
LONGEST_PAUSE_SECONDS = 30.0
#: Longest pause between two probes of a destination that refuses.
LONGEST_REFUSAL_SECONDS = 3600.0
#: Pauses after a refusal, as multiples of the backoff: of its base for the first one, a minute by
#: default, ten for a refused key; of its maximum for the longest, an hour by default.
_FIRST_REFUSAL_BASES, _FIRST_KEY_BASES, _LONGEST_REFUSAL_MAXIMA = 60, 600, 12
_PROBE_MARGIN_SECONDS = 5.0
#: Shortest and longest time after which the fleet's log tells again of a destination that still does
#: not accept; it doubles, since an outage may last for hours and a fleet have hundreds of queues.
_TELL_AGAIN_SECONDS = (60.0, 600.0)
_CLOSED, _PROBE = 1, 2


class Permit(NamedTuple):
    """Leave to send to a destination, or not; the token is that of a probe, else ""."""

    answer: Literal["closed", "probe", "open"]
    until_ms: int
    token: str


class Waits(NamedTuple):
    """The waits for the probes of a circuit, which double; how many there were is counted apart.

    Attributes:
        counter: Name of the count in Redis.
        first_seconds: Longest wait for the first probe; it is random, half of it at least.
        longest_seconds: Longest wait of all.
    """

    counter: Literal["openings", "refusals"]
    first_seconds: float
    longest_seconds: float


def outage_waits(settings: Settings) -> Waits:
    """The waits while a destination is in trouble."""
    longest = min(LONGEST_PAUSE_SECONDS, settings.backoff_max_seconds)
    return Waits("openings", 2 * settings.backoff_base_seconds, longest)


def refusal_waits(settings: Settings, *, key: bool = False) -> Waits:
    """The waits while a destination refuses; longer before the first probe where it is the key."""
    longest = longest_refusal_seconds(settings)
    bases = _FIRST_KEY_BASES if key else _FIRST_REFUSAL_BASES
    return Waits("refusals", min(longest, bases * settings.backoff_base_seconds), longest)


def longest_refusal_seconds(settings: Settings) -> float:
    """The longest wait for a probe of a destination that refuses."""
    return min(LONGEST_REFUSAL_SECONDS, _LONGEST_REFUSAL_MAXIMA * settings.backoff_max_seconds)


class Trouble(NamedTuple):
    """The time since when a destination does not accept, and Redis' time now; Unix ms."""

    since_ms: int
    now_ms: int

    @property
    def seconds(self) -> float:
        """How long that is."""
        return max(0, self.now_ms - self.since_ms) / 1000


class Recovery(NamedTuple):
    """The circuit after an acceptance.

    Attributes:
        closed: Whether it is closed now.
        trouble: Since when the destination had not accepted; None where no log has told of that, and
            where it is not over.
    """

    closed: bool
    trouble: Trouble | None

    def __bool__(self) -> bool:
        return self.closed


class Circuit:
    """One queue's circuit. Every method raises QueueUnavailable if Redis does not answer.

    Args:
        client: A Redis client made by `connections`.
        queue: The queue's name.
        settings: A worker's; namespace, `circuit_failures`, backoff and timeout are used.
        random: Returns a number from 0 to 1.

    Attributes:
        queue: The queue's name.
    """

    def __init__(
        self, client: Any, queue: str, settings: Settings, random: Callable[[], float]
    ) -> None:
        self._client = client
        self.queue = queue
        self._settings = settings
        self._random = random
        keys = shard_keys(settings.namespace, queue, 0)
        self._key, self._tally = keys.circuit, keys.tally

    def ask(self) -> Permit:
        """Ask for leave to send: "closed", the caller is the "probe", or "open" until some time."""
        token, settings = new_token(), self._settings
        probe_ms = as_ms(settings.request_timeout_seconds + _PROBE_MARGIN_SECONDS)
        with unavailable(f"look at the circuit of {self.queue}"):
            answer, until_ms = script("permit").run(self._client, (self._key,), (token, probe_ms))
        if answer == _CLOSED:
            return Permit("closed", 0, "")
        return (
            Permit("probe", until_ms, token) if answer == _PROBE else Permit("open", until_ms, "")
        )

    def note_failure(
        self,
        *,
        delivered_ms: int,
        floor_seconds: float | None,
        probe: str,
        waits: Waits | None = None,
        batch_id: str = "",
    ) -> float | None:
        """Count a failure; seconds until the next probe, None if the circuit stays closed.

        Args:
            delivered_ms: Unix ms at which VWO last accepted a batch, as far as the caller knows; 0
                for never.
            floor_seconds: Wait that VWO asked for; None if it asked for none.
            probe: Token of the caller's probe, "" if it was no probe.
            waits: The waits for the next probe; by default those of an outage.
            batch_id: The batch, whose failures are to count as one; "" to count this one anyway.
        """
        settings = self._settings
        waits = waits or outage_waits(settings)
        floor = min(floor_seconds or 0.0, settings.backoff_max_seconds)
        arguments = (
            settings.circuit_failures, as_ms(waits.first_seconds), as_ms(waits.longest_seconds),
            as_ms(floor), f"{self._random():.6f}", delivered_ms, probe, waits.counter, batch_id,
        )  # fmt: skip
        with unavailable(f"note of a failure of {self.queue}"):
            keys = (self._key, self._tally)
            wait_ms = script("trip").run(self._client, keys, arguments)
        return wait_ms / 1000 if wait_ms else None

    def end_probe(self, probe: str, *, answered: bool) -> Recovery:
        """Give back the leave to probe, or forget failures in a row; truthy if the circuit is closed now.

        Args:
            probe: Token of the caller's probe, "" if it was none: then an open circuit stays open.
            answered: Whether VWO answered, and accepted; else nothing was sent after all.
        """
        with unavailable(f"end of a probe of {self.queue}"):
            found = script("mend").run(self._client, (self._key,), (probe, int(answered)))
        closed, since_ms, now_ms = found
        return Recovery(bool(closed), Trouble(since_ms, now_ms) if since_ms else None)

    def worth_telling(self) -> Trouble | None:
        """The destination's trouble, if a log is to tell of it now; one worker of the fleet is asked to.

        Once when it begins, once when the circuit opens, then ever more seldom.
        """
        with unavailable(f"look at the circuit of {self.queue}"):
            pauses = tuple(map(as_ms, _TELL_AGAIN_SECONDS))
            found = script("tell").run(self._client, (self._key,), pauses)
        return Trouble(*found) if found else None

    def note_search(self, at_ms: int) -> None:
        """Note that VWO refused all that a search sent, at a time by Redis' clock."""
        with unavailable(f"note of a search of {self.queue}"):
            script("note").run(self._client, (self._key,), ("searched_ms", at_ms))

    def searched_ms(self) -> int:
        """Unix ms of the last search in which VWO refused everything; 0 if none is known."""
        with unavailable(f"look at the circuit of {self.queue}"):
            return int(self._client.hget(self._key, "searched_ms") or 0)


def forget_circuit(shard: Shard) -> None:
    """Close the circuit of a shard's queue without a probe, because an operator says so.

    Raises:
        QueueUnavailable: Redis did not answer.
    """
    with unavailable(f"end of the circuit of {shard.queue}"):
        shard.client.execute_command(
            "DEL", shard.keys.circuit
        )  # redis-py's delete() may be for one node
