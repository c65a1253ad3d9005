"""The spool gives out what it got: in order, page by page, each page with its own mark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.producers import DESTINATION, numbers
from tools.spools import MAX_BYTES, drained, open_spool, registration
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.queue.work.pushes import PUSH_EVENTS
from vwo_celery.spool.pages import Sent
from vwo_celery.spool.spool import Spool

QUEUE = DESTINATION.queue


def test_events_come_out_in_order(spool: Spool, folder: Path) -> None:
    """Each one's events come out in their order, whoever drains them; then the spool is empty."""
    other = open_spool(folder)
    for n in range(20):
        spool.put(registration(), numbers(1, n))
        other.put(registration(), numbers(1, 20 + n))

    assert spool.count() == 40
    assert drained(other) == numbers(40)
    assert spool.count() == 0
    other.close()


def test_a_page_is_what_one_push_may_be(spool: Spool) -> None:
    """A page has at most a thousand events or a megabyte; the last page says that it is the last."""
    spool.max_bytes = 10 * MAX_BYTES
    spool.put(registration(), numbers(PUSH_EVENTS + 5))
    large = [b'{"n":"%s"}' % (b"x" * 400_000) for _ in range(3)]
    spool.put(registration(), large)

    pages = []
    while (page := spool.take()) is not None:
        pages.append((len(page.encoded), page.is_last))
        spool.remove(page)

    assert pages == [(PUSH_EVENTS, False), (7, False), (1, True)]


def test_a_page_keeps_its_mark_until_it_is_removed(spool: Spool, folder: Path) -> None:
    """A page that is taken again, as after a crash, has the same mark until it is removed."""
    spool.put(registration(), numbers(3))
    first = spool.take()
    spool.put(registration(), numbers(2, 3))
    spool.close()

    again = open_spool(folder).take()

    assert first is not None
    assert again is not None
    assert (again.sent, again.encoded) == (first.sent, numbers(3))
    assert again.sent.sequence == 3


def test_what_was_sent_together_stays_together(spool: Spool) -> None:
    """A push that may have arrived comes out alone, with the mark it was sent with."""
    sent = Sent(2, "abc", 17, "life")
    spool.put(registration(), numbers(2))
    spool.put(registration(), numbers(3, 2), sent)
    spool.put(registration(), numbers(2, 5))

    pages = []
    while (page := spool.take()) is not None:
        pages.append(page)
        spool.remove(page)

    assert [page.encoded for page in pages] == [numbers(2), numbers(3, 2), numbers(2, 5)]
    assert pages[1].sent == sent
    assert len({page.sent.mark for page in pages}) == 3


def test_a_page_that_was_put_back_comes_out_in_parts(spool: Spool) -> None:
    """The events of a page that was put back keep their order and get another mark."""
    spool.put(registration(), numbers(4))
    whole = spool.take()
    assert whole is not None
    spool.put_back(whole)

    part = spool.take(most_events={QUEUE: 2})

    assert part is not None
    assert part.encoded == numbers(2)
    assert part.sent.mark != whole.sent.mark


def test_queues_take_turns_by_age_and_can_be_skipped(spool: Spool) -> None:
    """The oldest event's queue comes first, unless it is skipped."""
    one, two = registration(1), registration(2)
    spool.put(two, numbers(1))
    spool.put(one, numbers(1))

    oldest, other = spool.take(), spool.take(skip=[two.destination.queue])

    assert oldest is not None
    assert other is not None
    assert (oldest.registration, other.registration) == (two, one)


def test_a_removed_page_takes_nothing_else_with_it(spool: Spool) -> None:
    """An old page removes no new event, although an empty spool uses ids again."""
    spool.put(registration(), numbers(2))
    page = spool.take()
    assert page is not None
    spool.remove(page)
    spool.put(registration(), numbers(2, 2))

    spool.remove(page)

    assert drained(spool) == numbers(2, 2)


def test_who_was_overtaken_changes_nothing(spool: Spool, folder: Path) -> None:
    """A drainer that stood still neither unmarks a page that another has taken since, nor marks it
    anew: that one may be sending it. Both may remove it.
    """
    other = open_spool(folder)
    spool.put(registration(), numbers(3))
    first, second = spool.take(), other.take()
    assert first is not None
    assert second is not None

    for change in (spool.put_back, spool.mark_anew):
        with pytest.raises(SpoolUnavailable, match="another drainer has taken"):
            change(first)

    assert second.sent == first.sent
    spool.remove(first)
    spool.put(registration(), numbers(3, 3))  # an empty file uses row numbers again
    for change in (other.put_back, other.mark_anew):
        with pytest.raises(SpoolUnavailable, match="another drainer has"):
            change(second)
    assert drained(other) == numbers(3, 3)
    other.close()
