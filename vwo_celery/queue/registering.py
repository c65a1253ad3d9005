"""Registering a queue: limits for its scripts, an entry in the list of queues, shards to be swept.

Stage 1 of an event's way, beneath `fleet`. The first call of a process does it, and the first after
Redis has lost everything, so a request waits for it: all of it is one round trip, scripts included,
whatever the number of shards; a second one where nobody has noted the queue's number of shards yet,
or other producers had more of them. In a Cluster, one for each node, and a second one for the nodes
that list the queues and the shards. A producer with fewer
shards than others replaces the registration, never that number: what higher shards hold, dead
letters and counters included, stays visible, and is delivered. If the process dies here, a
registration may be written in part; the next enqueue of any producer writes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.connections.errors import is_error_reply
from vwo_celery.queue import registry
from vwo_celery.queue.pipelining import Command, send_all
from vwo_celery.queue.scripts import script
from vwo_celery.queue.shard import Shard
from vwo_celery.queue.signs import Signs
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.keys import as_text, shard_keys, split_shard_name
from vwo_celery.queue.words.registration import MOST_SHARDS, Registered, Registration

#: Scripts that a producer is about to need; a server that has them loses little time with them.
_SCRIPTS = ("limit", "register", "enqueue", "append", "gate")
#: Placeholder for `watched`: the sweep replaces it by the time when the shard last held something.
_SEEN_LONG_AGO = 1


class _Announcement(NamedTuple):
    """All that is to be listed and watched, as commands.

    Attributes:
        registrations: The registrations, each by its queue.
        names: Names of the shards that the sweep shall look at.
        notes: Commands on the shards: notes that they are watched, then looks for higher ones.
        entries: Commands on what all queues share: one for each registration, and one for the shards.
    """

    registrations: dict[str, Registration]
    names: list[str]
    notes: list[Command]
    entries: list[Command]

    @property
    def what(self) -> str:
        """The attempt, for messages."""
        return f"registration of {', '.join(self.registrations) or 'shards'}"


class Registering(Signs):
    """The registrations and watched shards of one namespace, as they are written."""

    def register(self, registration: Registration, lives: Sequence[str] = ()) -> Registered:
        """Make a queue known to every worker, and its limits to the scripts.

        Args:
            registration: The queue, with the number of shards that the caller pushes to.
            lives: The lives of the last answer that the caller got, if any.

        Returns:
            The name of each of these shards' lives, a new one if Redis had forgotten the shard, "" if
            it is on a part of a Cluster that is away; and the number of shards that the queue ever
            had, as far as that is known.
        """
        queue, memory = registration.destination.queue, self.memory
        shards = [self.shard(queue, number) for number in range(registration.shards)]
        known = lives or [""] * len(shards)
        text = registry.encode(registration)
        limits = [
            _limit(shard, registration.limits, life, text)
            for shard, life in zip(shards, known, strict=True)
        ]
        names = [shard.keys.name for shard in shards]
        memory.registrations[queue] = registration
        memory.unannounced |= set(names)
        told = self._announcement()
        if self.in_cluster:  # the notes come before the entries, in whatever order nodes are asked
            answers = self._send(told.what, [*limits, *told.notes])
        else:
            answers = self._send(told.what, [*limits, *told.notes, *told.entries])
        renewed, answers = self._lives_in(answers[: len(limits)]), answers[len(limits) :]
        if self.in_cluster:
            away = {name for name, life in zip(names, renewed, strict=True) if not life}
            memory.unannounced -= away
            told, answers = self._without(told, answers, away)
            numbers = self._attempt(lambda: self._enter(told, answers))
        else:
            numbers = self._conclude(told, answers)
        number = numbers.get(queue, len(shards))
        return Registered(renewed, self._limit_higher(registration, number))

    def _lives_in(self, answers: Sequence[Any]) -> list[str]:
        """The lives that Redis told; in a Cluster "" for what it did not do, if it did anything."""
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if failures and (not self.in_cluster or len(failures) == len(answers)):
            _raise_failures("registration", failures)
        return ["" if isinstance(answer, Exception) else as_text(answer) for answer in answers]

    def _send(self, what: str, commands: Sequence[Command]) -> list[Any]:
        with unavailable(what):
            return send_all(self.client, commands, [script(name) for name in _SCRIPTS])

    def announce(self) -> dict[str, int]:
        """List and watch what could not be announced so far; what still cannot stays noted.

        Returns:
            The number of shards that each queue ever had that is listed now.
        """
        return self._attempt(self._announce) if self.memory.is_behind else {}

    def _attempt(self, announce: Callable[[], dict[str, int]]) -> dict[str, int]:
        return self.hints.attempt(self.keys.queues, "an announcement", announce, {})

    def _announce(self) -> dict[str, int]:
        told = self._announcement()
        return self._enter(told, self._send(told.what, told.notes))

    def _enter(self, told: _Announcement, noted: Sequence[Any]) -> dict[str, int]:
        """List and watch what was noted, with the shards that were found by it; see `_conclude`."""
        entries = self._entries(told.registrations, told.names, _looked(told, noted))
        return self._conclude(told, [*noted, *self._send(told.what, entries)])

    def _announcement(self) -> _Announcement:
        """All that is noted in this process' memory."""
        registrations = dict(self.memory.registrations)
        names = sorted(self.memory.unannounced)
        notes = [_note(self.shard(*split_shard_name(name))) for name in names]
        for queue, registration in registrations.items():
            notes += [
                Command(key, ("EXISTS", key)) for key in self._higher_keys(queue, registration)
            ]
        return _Announcement(registrations, names, notes, self._entries(registrations, names, {}))

    def _entries(
        self,
        registrations: dict[str, Registration],
        names: Sequence[str],
        looked: Mapping[str, int],
    ) -> list[Command]:
        entries = [
            self._entry(registration, looked=looked.get(queue, 0))
            for queue, registration in registrations.items()
        ]
        watched = self.keys.watched
        return entries + ([Command(watched, ("SADD", watched, *names))] if names else [])

    def _without(
        self, told: _Announcement, answers: Sequence[Any], away: Container[str]
    ) -> tuple[_Announcement, list[Any]]:
        """The same without shards that are *away*, and the answers to its notes."""
        kept = [number for number, name in enumerate(told.names) if name not in away]
        names = [told.names[number] for number in kept]
        kept += range(len(told.names), len(told.notes))
        notes = [told.notes[number] for number in kept]
        return told._replace(names=names, notes=notes), [answers[i] for i in kept]

    def _higher_keys(self, queue: str, registration: Registration) -> list[str]:
        """Keys that exist where shards of a higher number were used: releases before 0.2 noted none."""
        numbers = range(registration.shards, MOST_SHARDS)
        return [shard_keys(self.namespace, queue, number).meta for number in numbers]

    def _entry(self, registration: Registration, *, looked: int = 0) -> Command:
        """The entry in the list of queues; *looked*: shards that a look has found, 0 for no look."""
        shards = max(registration.shards, looked)
        keys = (self.keys.queues, self.keys.shards)
        text = registry.encode(registration)
        arguments = (registration.destination.queue, text, shards, int(looked > 0))
        return Command(keys[0], script("register").command(keys, arguments))

    def _conclude(self, told: _Announcement, answers: Sequence[Any]) -> dict[str, int]:
        """Forget what was announced; the number of shards that each listed queue ever had.

        Raises:
            QueueUnavailable: Redis did not take all of it; it stays noted.
        """
        entered, looked = answers[len(told.notes) :], _looked(told, answers)
        _raise_failures(told.what, [*answers[: len(told.names)], *entered])
        numbers: dict[str, int] = {}
        again = []
        for (queue, registration), (noted, look) in zip(
            told.registrations.items(), entered, strict=False
        ):
            numbers[queue] = min(int(noted), MOST_SHARDS)
            if look and looked[queue]:  # with a node away, the next registration looks again
                numbers[queue] = max(numbers[queue], looked[queue])
                again.append(self._entry(registration, looked=numbers[queue]))
        if again:
            _raise_failures(told.what, self._send(told.what, again))
        self._forget(told)
        return numbers

    def _forget(self, told: _Announcement) -> None:
        for queue, registration in told.registrations.items():
            if self.memory.registrations.get(queue) is registration:
                self.memory.registrations.pop(queue, None)  # a signal handler may register, too
        self.memory.unannounced.difference_update(told.names)

    def _limit_higher(self, registration: Registration, known: int) -> int:
        """Set limits of shards that other producers have, or had; the number of all *known* ones.

        They drain one batch at a time. In a Cluster, those on a part that is away are left out.
        """
        queue = registration.destination.queue
        limits = msgspec.structs.replace(registration.limits, parallel=1)
        higher = [self.shard(queue, number) for number in range(registration.shards, known)]
        if higher:
            answers = self._send(f"limits of {queue}", [_limit(shard, limits) for shard in higher])
            if self.in_cluster:
                answers = [each for each in answers if is_error_reply(each)]
            _raise_failures(f"limits of {queue}", answers)
        return known

    def watch(self, *shard_names: str) -> None:
        """Make the sweep look at shards."""
        with unavailable(f"watch of {', '.join(shard_names[:3])}"):
            pipe = self.client.pipeline(transaction=False)
            for name in shard_names:
                # The note first: an `unwatch` in between then takes back both or neither.
                pipe.execute_command(*_note(self.shard(*split_shard_name(name))).words)
                pipe.sadd(self.keys.watched, name)
            pipe.execute()


def _note(shard: Shard) -> Command:
    """The note that the sweep looks at a shard; an older note stays."""
    return Command(shard.keys.meta, ("HSETNX", shard.keys.meta, "watched", _SEEN_LONG_AGO))


def _limit(shard: Shard, limits: Limits, life: str = "", copy: bytes = b"") -> Command:
    arguments = shard.limit_arguments(limits, life, copy)
    return Command(shard.keys.meta, script("limit").command(shard.keys.life, arguments))


def _looked(told: _Announcement, noted: Sequence[Any]) -> dict[str, int]:
    """The number of shards that each queue has by the looks for higher ones; 0 if one has failed."""
    looks = iter(noted[len(told.names) : len(told.notes)])
    numbers = {}
    for queue, registration in told.registrations.items():
        lowest = registration.shards
        found = list(islice(looks, MOST_SHARDS - lowest))
        failed = any(isinstance(each, Exception) for each in found)
        used = [lowest + n for n, exists in enumerate(found, 1) if exists]
        numbers[queue] = 0 if failed else max([lowest, *used])
    return numbers


def _raise_failures(what: str, answers: Sequence[Any]) -> None:
    """Raise QueueUnavailable for the first error among *answers*."""
    failures = [answer for answer in answers if isinstance(answer, Exception)]
    if failures:
        with unavailable(what):
            raise failures[0]
