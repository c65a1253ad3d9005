"""The word of several Sentinels on one master: which is believed, and when there is no master."""

from __future__ import annotations

from typing import Any

import pytest

from vwo_celery.connections.sentinels import LOOK_SECONDS, Sentinels, Word, best, read_word
from vwo_celery.connections.troubles import MasterUnknown

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)
#: Longer than a master is left because another one is being elected.
LONG_SECONDS = 60.0


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds, from any start."""
        return self.now


class Group(Sentinels):
    """Sentinels whose words the test gives; None for one that does not answer."""

    def __init__(self, *words: Word | None) -> None:
        self.clock = Clock()
        super().__init__([("127.0.0.1", 1)] * len(words), "mymaster", clock=self.clock)
        self.given: list[Word | None] = list(words)
        self.asked: list[int] = []

    def _word_of(self, sentinel: Any) -> Word:
        number = next(i for i, each in enumerate(self.sentinels) if each is sentinel)
        self.asked.append(number)
        word = self.given[number]
        if word is None:
            raise ConnectionError("silent")
        return word

    def look_later(self, seconds: float = LOOK_SECONDS) -> Any:
        """Look again after some time."""
        self.clock.now += seconds
        return self.look()


def state(flags: str, **facts: object) -> list[bytes]:
    """A Sentinel's answer."""
    known = {"name": "mymaster", "ip": OLD[0], "port": OLD[1], "flags": flags, "config-epoch": 3}
    pairs = {**known, **facts}.items()
    return [str(word).encode() for pair in pairs for word in pair]


def test_a_master_that_answers() -> None:
    """Without a failover a Sentinel's own master is the master."""
    word = read_word(state("master", **{"role-reported-time": 1500}))

    assert word == Word(OLD, 3, None, False, 1.5)


def test_a_master_that_is_being_replaced() -> None:
    """During a failover there is no master until the Sentinel names a promoted replica."""
    answer = state("master,failover_in_progress")

    assert read_word(answer, [b"10.0.0.1", b"6379"]).electing
    assert read_word(answer, [b"10.0.0.2", b"6379"]) == Word(NEW, 3)


def test_a_master_that_is_down() -> None:
    """A master that does not answer its Sentinel is none; a promoted replica is one."""
    answer = state("master,s_down,o_down,failover_in_progress", **{"s-down-time": 7200})

    assert read_word(answer).down_seconds == 7.2
    assert read_word(answer, [b"10.0.0.2", b"6379"]).down_seconds is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([Word(OLD, 3), Word(NEW, 4)], Word(NEW, 4), id="the newest configuration"),
        pytest.param([Word(OLD, 4, 9.0), Word(NEW, 3)], Word(NEW, 3), id="one that answers"),
        pytest.param(
            [Word(OLD, 3), Word(OLD, 3, None, True)],
            Word(OLD, 3, None, True),
            id="one Sentinel elects",
        ),
        pytest.param(
            [Word(NEW, 4), Word(OLD, 3, None, True)], Word(NEW, 4), id="an election that is over"
        ),
    ],
)
def test_the_best_word(words: list[Word], expected: Word) -> None:
    """Of several words the newest counts, of a master that answers, if there is one."""
    assert best(words) == best(words[::-1]) == expected


def test_an_election_leaves_no_master() -> None:
    """While one of the Sentinels replaces the master, commands are not sent to it."""
    group = Group(Word(OLD), Word(OLD, 0, None, True), Word(OLD))

    with pytest.raises(MasterUnknown, match=r"replacing 10\.0\.0\.1:6379"):
        group.look()
    group.given[1] = Word(NEW, 1)

    assert group.look_later() == NEW


def test_an_election_without_end_leaves_the_old_master() -> None:
    """An old master that still runs is used again if no other is named within seconds."""
    group = Group(Word(OLD, 0, None, True))
    with pytest.raises(MasterUnknown):
        group.look()

    assert group.look_later(LONG_SECONDS) == OLD


def test_a_dead_master_is_none() -> None:
    """A master that its Sentinels cannot reach is not tried, and the error says since when."""
    group = Group(Word(OLD, 0, 12.0), Word(OLD, 0, 12.0))

    with pytest.raises(MasterUnknown, match="has not answered for 12 s"):
        group.look()


def test_looks_are_seldom() -> None:
    """Commands in quick succession ask once."""
    group = Group(Word(OLD))

    assert [group.look() for _ in range(100)] == [OLD] * 100
    assert group.asked == [0]


def test_a_silent_sentinel_rests() -> None:
    """One that gives no answer is not asked again at the next looks, but in time."""
    group = Group(None, Word(OLD))

    answers = [group.look(), group.look_later(), group.look_later()]
    group.look_later(LONG_SECONDS)

    assert answers == [OLD] * 3
    assert group.asked == [0, 1, 1, 1, 0, 1]


def test_silent_sentinels_leave_the_last_master() -> None:
    """If no Sentinel answers any more, commands still go to the last master; it may well run."""
    group = Group(Word(OLD, 0, 12.0))
    with pytest.raises(MasterUnknown):
        group.look()
    group.given[0] = None

    assert group.look_later() == OLD


def test_a_new_connection_asks_silent_sentinels_too() -> None:
    """Where all have been silent, a new connection asks them again, and says if none answers."""
    group = Group(None, None)
    assert group.look() is None
    with pytest.raises(MasterUnknown, match="no Sentinel names a master of mymaster"):
        group.discover_master()
    group.given[1] = Word(NEW)

    group.clock.now += LOOK_SECONDS

    assert group.discover_master() == NEW
