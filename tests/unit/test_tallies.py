"""A tally: what its hash says, and how tallies of shards add up."""

from __future__ import annotations

from vwo_celery.queue.looks.tallies import Tally, Told, sum_tallies, tally_of
from vwo_celery.queue.words.buckets import AGE_BOUNDS_SECONDS, POST_BOUNDS_SECONDS, SIZE_BOUNDS

FIELDS = {
    b"answer:200": b"7", b"answer:timeout": b"2", b"age:0": b"5", b"age:14": b"1", b"age_ms": b"99",
    b"post:3": b"9", b"post_ms": b"800", b"size:8": b"9", b"size_events": b"45000",
    b"dead:rejected": b"1", b"split": b"2", b"lost_leases": b"3", b"redriven": b"4", b"opened": b"5",
    b"unaccepted:spool_full": b"6", b"spooled": b"8",
}  # fmt: skip


def test_a_tally_is_read_by_its_families() -> None:
    """Answers and verdicts are by name, ages, times and sizes by bucket, and the rest are numbers."""
    tally = tally_of(FIELDS)

    assert (tally.answers, tally.requests) == ({"200": 7, "timeout": 2}, 9)
    assert tally.ages == (5, *[0] * (len(AGE_BOUNDS_SECONDS) - 1), 1)
    assert (tally.posts[3], sum(tally.posts), len(tally.posts)) == (
        9,
        9,
        len(POST_BOUNDS_SECONDS) + 1,
    )
    assert (tally.sizes[8], sum(tally.sizes), len(tally.sizes)) == (9, 9, len(SIZE_BOUNDS) + 1)
    assert (tally.age_ms, tally.post_ms, tally.size_events) == (99, 800, 45_000)
    assert tally.dead_by == {"rejected": 1}
    assert (tally.split, tally.lost_leases, tally.redriven, tally.opened) == (2, 3, 4, 5)
    assert (tally.unaccepted, tally.spooled) == ({"spool_full": Told(6)}, Told(8))


def test_what_an_older_release_did_not_write_is_zero() -> None:
    """An empty hash is a tally of nothing, and adds nothing."""
    tally = tally_of(FIELDS)

    assert tally_of({}) == Tally()
    assert sum_tallies([Tally(), tally]) == tally


def test_tallies_of_shards_add_up() -> None:
    """Each number of the sum is the sum of that number, by name and by bucket."""
    one = tally_of(FIELDS)
    other = tally_of(
        {"answer:200": "1", "answer:503": "4", "age:0": "2", "age_ms": "1", "split": "1"}
    )

    both = one + other

    assert both.answers == {"200": 8, "503": 4, "timeout": 2}
    assert (both.ages[0], both.ages[14], both.age_ms, both.split) == (7, 1, 100, 3)
    assert (both.posts, both.dead_by, both.opened) == (one.posts, one.dead_by, one.opened)


def test_a_number_that_cannot_be_read_is_zero() -> None:
    """What another program wrote into the hash hides nothing else."""
    tally = tally_of({"answer:200": "-1", "age:0": "many", "opened": "", "split": "3"})

    assert (tally.answers, sum(tally.ages), tally.opened, tally.split) == ({"200": 0}, 0, 0, 3)
