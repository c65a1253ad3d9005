"""Steps of a shard's life in which events come in: producers, other programs, and the sweep."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lua.life.shard import (
    IDLE_MS,
    LEASE_SECONDS,
    SECOND,
    ShardLife,
    chances,
    event_sizes,
    limits,
    producers,
)
from lua.world import NAMESPACE
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.gates import Gate
from vwo_celery.queue.looks.surveys import due_shards
from vwo_celery.queue.words.answers import DUPLICATE, NOT_REGISTERED, STORED
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.marks import Mark, push_token
from vwo_celery.queue.work.pushes import names_needed


def contexts_of(events: list[bytes]) -> str:
    """A context for every other event, which names it, as enqueue.lua takes them."""
    numbered = enumerate(events, 1)
    return "".join(f"{n} {n} {each.decode()}\n" for n, each in numbered if each[-1] % 2)


small_sizes = st.lists(st.sampled_from([6, 6, 9, 20]), min_size=1, max_size=3)


class FilledLife(ShardLife):
    """A shard's life with all that pushes into it or seals."""

    # -- producers

    @rule(who=producers, sizes=event_sizes)
    def push(self, who: int, sizes: list[int]) -> None:
        """A producer pushes with as many batch names as its own limits require."""
        self._push_new(who, sizes, lambda events: names_needed(self.knows[who], events))

    @rule(who=producers, pages=st.lists(event_sizes, min_size=1, max_size=3), dies=st.booleans())
    def push_pages(self, who: int, pages: list[list[int]], dies: bool) -> None:
        """A producer pushes the pages of one call; it may die before the last."""
        for left, sizes in zip(reversed(range(len(pages))), pages, strict=True):
            more_follow = left > 0 or dies
            self._push_new(
                who, sizes, lambda events: names_needed(self.knows[who], events), more_follow
            )

    @rule(who=producers, sizes=event_sizes)
    def push_with_names_to_spare(self, who: int, sizes: list[int]) -> None:
        """A producer pushes with extra names, as it does after an answer that it gave too few."""
        self._push_new(who, sizes, lambda events: len(events) + 1)

    @rule(who=producers, size=st.sampled_from([6, 9, 20, 60]), answered=st.booleans())
    def append(self, who: int, size: int, answered: bool) -> None:
        """A producer appends one event, and enqueues it if the append was declined.

        It also enqueues if the answer to the append was lost.
        """
        events = self._events([size])
        mark = self._take_mark(who, 1)
        mark.stored, mark.appends = str(mark.sequence - 1), True
        stored = self.shard.append(mark, events[0])
        if stored:
            expected = self.model.push(
                mark, events, [push_token(mark), "unused"], self.clock.tick()
            )
            assert (expected.code, expected.sealed, expected.wakeups) == (STORED, 0, 0)
            assert self.watched
            self._note_stored(mark, events)
        if not (stored and answered):
            self._push(who, mark, events, 2)

    @rule(who=producers, sizes=small_sizes, answered=st.booleans())
    def let_in(self, who: int, sizes: list[int], answered: bool) -> None:
        """A producer lets many events in by the gate, and enqueues them if that stored nothing.

        It also enqueues if the answer was lost.
        """
        events = self._events(sizes)
        mark = self._take_mark(who, len(events))
        mark.stored, mark.appends = str(mark.sequence - len(events)), True
        stored = Gate(self.shard, from_events=1).let_in(mark, events)
        if stored:
            names = [push_token(mark), *(f"unused.{number}" for number in range(len(events)))]
            expected = self.model.push(mark, events, names, self.clock.tick())
            assert (expected.code, expected.sealed, expected.wakeups) == (STORED, 0, 0)
            assert self.watched
            self._note_stored(mark, events)
        if not (stored and answered):
            self._push(who, mark, events, names_needed(self.knows[who], events))

    @precondition(lambda self: self.last_pushes)
    @rule(chance=chances)
    def push_again(self, chance: int) -> None:
        """A producer repeats a push whose answer was lost, or an old repeat arrives late."""
        mark, events, names, more_follow = self.last_pushes[chance % len(self.last_pushes)]
        mark.doubt()
        self._send(mark, events, names, more_follow)

    @rule(who=producers, given=limits)
    def register(self, who: int, given: Limits) -> None:
        """A producer registers its own limits; the other producers keep the limits they know."""
        self.knows[who] = given
        self.register_again(who)

    def register_again(self, who: int) -> None:
        """A producer registers its limits again, with a new mark if Redis has lost the old one."""
        self.model.limits = self.knows[who]
        known = self.marks[who].life
        assert self.shard.set_limits(self.knows[who], known_life=known) == self.model.life
        if known != self.model.life:
            self.model.forgotten = True
            self.marks[who] = self._new_mark()

    # -- other programs

    @rule(sizes=event_sizes)
    def push_foreign(self, sizes: list[int]) -> None:
        """A program in another language pushes onto the open list."""
        events = self._events(sizes)
        self.client.lpush(self.shard.keys.open, *events)
        self.model.open += events
        self.pushed.update(events)

    @precondition(lambda self: self.model.open)
    @rule(everything=st.booleans())
    def take_out(self, everything: bool) -> None:
        """Another program pops an event, or deletes the list."""
        if everything:
            self.client.delete(self.shard.keys.open)
        else:
            self.client.rpop(self.shard.keys.open)
        count = len(self.model.open) if everything else 1
        taken, self.model.open = self.model.open[:count], self.model.open[count:]
        self.gone.update(taken)

    @rule()
    def flush_scripts(self) -> None:
        """The server forgets its scripts."""
        self.client.script_flush()
        self.shard.load_push()

    # -- triggers

    @rule(force=st.booleans(), all_lost=st.booleans())
    def sweep_once(self, force: bool, all_lost: bool) -> None:
        """Any process sweeps; it may know that the wake-ups before now are lost."""
        self.sweep(force=force, all_lost=all_lost)

    @rule()
    def next_turn(self) -> None:
        """A task ends and asks for others."""
        now = self.clock.tick()
        token, wakeups = self.shard.next_turn()
        assert wakeups == self.model.next_turn(token, now)
        self._note_tokens(token, wakeups)

    def sweep(self, *, force: bool, all_lost: bool = True) -> bool:
        """Sweep in both; whether another sweep would seal more."""
        lost_until_ms = 10**15 if all_lost else 0
        now, watched = self.clock.tick(), self.pair.watched()
        names = [self.shard.keys.name]
        due, *_ = due_shards(Fleet(self.client, NAMESPACE), names, IDLE_MS, lost_until_ms)
        swept = self.shard.sweep(force=force, idle_ms=IDLE_MS, lost_until_ms=lost_until_ms)
        if not force:  # whatever a sweep does, the look before it has foreseen
            assert due or not (swept.sealed or swept.wakeups or swept.more or swept.idle)
        expected = self.model.sweep(
            swept.token,
            now,
            force=force,
            watched=watched,
            lease=LEASE_SECONDS * SECOND,
            all_lost=all_lost,
        )
        assert swept.sealed == expected.sealed
        assert swept.wakeups == expected.wakeups
        assert swept.more == expected.more
        if self.model.open or self.model.of("ready") or self.model.of("leases"):
            assert not swept.idle
        self._note_tokens(swept.token, swept.wakeups)
        return bool(swept.more)

    @rule()
    def unwatch(self) -> None:
        """A sweep forgets the shard."""
        held = self.model.open or self.model.of("ready") or self.model.of("leases")
        assert self.shard.unwatch() is not bool(held)
        self.watched = self.watched and bool(held)

    # -- parts of steps

    def _push_new(
        self,
        who: int,
        sizes: list[int],
        names: Callable[[list[bytes]], int],
        more_follow: bool = False,
    ) -> None:
        events = self._events(sizes)
        self._push(who, self._take_mark(who, len(events)), events, names(events), more_follow)

    def _take_mark(self, who: int, events: int) -> Mark:
        self.marks[who].sequence += events
        self.marks[who].events = events
        return deepcopy(self.marks[who])

    def _push(
        self, who: int, mark: Mark, events: list[bytes], names: int, more_follow: bool = False
    ) -> None:
        """Push, and change the mark as the answer requires."""
        code = self._send(mark, events, names, more_follow)
        if code in (STORED, DUPLICATE):
            self.last_pushes = [*self.last_pushes[-4:], (mark, events, names, more_follow)]
        else:
            self.marks[who].sequence -= len(events)
        if code == NOT_REGISTERED:
            self.register_again(who)

    def _send(self, mark: Mark, events: list[bytes], names: int, more_follow: bool = False) -> int:
        command = self.shard.push_command(
            mark, events, names, more_follow=more_follow, contexts=contexts_of(events)
        )
        now = self.clock.tick()
        seen = int(self.client.get(self.shard.keys.mark(mark.id)) or 0)
        pushed = self.shard.push(command)
        stem = push_token(mark)
        batches = [stem, *(f"{stem}.{i:04d}" for i in range(1, names))]
        expected = self.model.push(mark, events, batches, now, more_follow=more_follow)
        assert pushed.code == expected.code
        assert (pushed.sealed, pushed.wakeups) == (expected.sealed, expected.wakeups)
        if pushed.code == STORED:
            lost_before = self.redis_lost
            self._note_stored(mark, events)
            assert self.redis_lost - lost_before == self.acknowledged[mark.id] - len(events) - seen
            assert pushed.watch == (not self.watched)
        if pushed.watch:  # the producer announces the shard to the sweep and records that it did
            self.client.hsetnx(self.shard.keys.meta, "watched", 1)
            self.watched = True
        self._note_tokens(push_token(mark), pushed.wakeups)
        return pushed.code

    def _note_stored(self, mark: Mark, events: list[bytes]) -> None:
        """Record the answer: all events pushed under the mark so far are stored."""
        self.pushed.update(events)
        self.acknowledged[mark.id] = max(self.acknowledged[mark.id], mark.sequence)
        self.redis_lost = int(self.client.hget(self.shard.keys.meta, "dropped:redis_lost") or 0)
