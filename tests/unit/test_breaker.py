"""The breaker: one failure opens it, and rare probes find out whether Redis is back."""

from __future__ import annotations

from vwo_celery.spool.breaker import (
    DRAINER_SILENCE_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Breaker,
    longest_pause_seconds,
    pause_seconds,
)


def opened(now: float = 100.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker()
    breaker.open(now)
    return breaker


def test_one_failure_opens_it() -> None:
    """One failure opens the breaker: no second call has to wait."""
    assert not Breaker().is_open
    assert opened().is_open


def test_a_request_asks_where_no_drainer_does() -> None:
    """Without a drainer, a call may probe: not at once, and one at a time."""
    breaker = opened(100.0)

    asked = [breaker.may_probe(100.0 + seconds) for seconds in (0.0, 0.2, 0.26, 0.27, 0.5)]

    assert asked == [False, False, True, False, False]


def test_pauses_grow_with_failures() -> None:
    """Pauses grow up to a bound: in a long outage few calls have to wait."""
    breaker, now, probes = opened(0.0), 0.0, 0
    while now < 60.0:
        now += 0.01
        if breaker.may_probe(now):
            probes += 1
            breaker.open(now)

    assert 60 / LONGEST_PAUSE_SECONDS <= probes <= 20


def test_no_request_asks_while_a_drainer_does() -> None:
    """While a drainer probes, no call does, unless it was silent for long and may have no thread."""
    breaker = opened(100.0)
    breaker.leave_to_drainer(100.0)

    assert not breaker.may_probe(100.0 + DRAINER_SILENCE_SECONDS - 0.1)
    assert breaker.may_probe(100.0 + DRAINER_SILENCE_SECONDS)


def test_closing_forgets_the_failures() -> None:
    """Closing forgets the failures: the next outage begins with the shortest pause."""
    breaker = opened(0.0)
    for now in range(1, 20):
        breaker.open(float(now))
    breaker.close()

    assert not breaker.is_open
    breaker.open(100.0)
    assert breaker.may_probe(100.0 + FIRST_PAUSE_SECONDS)


def test_chance_only_shortens_a_pause() -> None:
    """A pause is random between half and all of its length: processes do not probe together."""
    for failures in (1, 3, 10, 10_000):
        longest = longest_pause_seconds(failures)
        pauses = {pause_seconds(failures) for _ in range(100)}

        assert len(pauses) > 1
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert longest <= LONGEST_PAUSE_SECONDS
