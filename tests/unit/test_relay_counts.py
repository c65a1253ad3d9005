"""What relays tell of themselves: sums, the last hour, and what the doctor makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from vwo_celery.operating.doctor.relay import helpless_relay_findings, relay_cards_findings
from vwo_celery.operating.looks.relays import RelayView, describe
from vwo_celery.queue.records.relays import RelayCard, RelayCounts
from vwo_celery.relay.telling.cards import Recent
from vwo_celery.settings import Settings


def relay(process: str = "web:1-a", *, is_running: bool = True, **card: Any) -> RelayView:
    """A process of a relay."""
    return RelayView(process, 1.0, is_running, RelayCard(**card))


def test_recent_is_what_came_within_the_hour() -> None:
    """What was counted more than an hour ago is left out, to five minutes."""
    recent = Recent(0.0)
    found = [recent.since(minute * 60.0, RelayCounts(left=minute)).left for minute in range(241)]

    assert found[:60] == list(range(60))
    assert all(55 <= each <= 60 for each in found[60:])


def test_counts_are_added_and_subtracted_by_reason() -> None:
    """Reasons of both are there; none is negative, and those of none are left out."""
    one = RelayCounts(requests=5, refused={"access": 3, "large": 1})
    two = RelayCounts(requests=2, refused={"access": 1, "slow": 4, "large": 1})

    assert one.plus(two) == RelayCounts(requests=7, refused={"access": 4, "large": 2, "slow": 4})
    assert one.minus(two) == RelayCounts(requests=3, refused={"access": 2})


def test_one_line_tells_of_all_processes() -> None:
    """It sums up those that run, and names what there is."""
    done = RelayCounts(
        requests=1200, stored=2400, spooled=3, folded=4, lost={"not_json": 2}, left=3, cut=1,
        refused={"access": 10, "large": 2}, left_behind_proxy=2,
    )  # fmt: skip
    ended = relay("web:0-z", is_running=False, counts=RelayCounts(requests=9))
    views = [relay(counts=done), relay("web:2-b", counts=RelayCounts(requests=34)), ended]

    assert describe(views) == (
        "2 relay processes: 1,234 requests, 2,400 events stored, 3 spooled, refused 12 (access 10, "
        "large 2), 2 items that were no events, 4 folded, 4 clients left early, 2 of them behind a "
        "proxy"
    )
    assert describe([relay()]) == "1 relay process: 0 requests, 0 events stored"
    assert describe(
        [relay(counts=RelayCounts(settings={"fresh": 2, "stale": 1, "failed": 1}))]
    ) == ("1 relay process: 0 requests, 0 events stored, settings asked for 3 (fresh 2, stale 1)")


@pytest.mark.parametrize(
    ("card", "id", "words"),
    [
        ({"recent": RelayCounts(left_behind_proxy=3)}, "VC122", "proxy_ignore_client_abort on"),
        ({"recent": RelayCounts(folded=7)}, "VC123", "7 events went to another version"),
        ({"recent": RelayCounts(refused={"too_many_sdks": 2})}, "VC123", "2 requests were refused"),
        ({"recent": RelayCounts(refused={"access": 1})}, "VC124", "relay_accounts"),
        ({"has_spool": False}, "VC125", "web:1-a; while Redis is away SDKs get 503"),
        ({"recent": RelayCounts(refused={"not_stored": 2})}, "VC126", "2 requests"),
        (
            {"recent": RelayCounts(settings={"failed": 3, "stale": 2, "none": 1, "fresh": 9})},
            "VC128",
            "3 requests of SDKs within an hour: 2 got an older copy, and 1 got 503",
        ),
    ],
)
def test_what_relays_met_is_a_finding(card: dict[str, Any], id: str, words: str) -> None:
    """Each trouble of the last hour is named, with its remedy."""
    (finding,) = relay_cards_findings([relay(**card)])

    assert finding.id == id
    assert words in f"{finding.what}; {finding.remedy}"


def test_what_ended_processes_met_counts_too() -> None:
    """A relay that was started again a moment ago has not forgotten what it met."""
    ended = relay(is_running=False, has_spool=False, recent=RelayCounts(refused={"access": 1}))

    assert [each.id for each in relay_cards_findings([ended, relay("web:2-b")])] == ["VC124"]


@pytest.mark.parametrize(
    "counts",
    [
        RelayCounts(requests=100, left=100),
        RelayCounts(left_behind_proxy=2),
        RelayCounts(refused={"body": 5, "path": 5}, reports={"failed": 9}, cut=4),
        RelayCounts(settings={"fresh": 9, "stale": 1, "refused": 2}, gateway={"failed": 1}),
    ],
)
def test_phps_early_clients_are_no_finding(counts: RelayCounts) -> None:
    """PHP's SDK closes at once by itself, and a proxy may be restarted: nobody is woken for it."""
    (finding,) = relay_cards_findings([relay(recent=counts, counts=counts)])

    assert (finding.check, finding.state) == ("relay", "ok")


def test_relays_that_differ_are_named() -> None:
    """Whoever registers last decides, so the doctor says who has which options."""
    views = [
        relay("a", batches={"": (100, 600.0), "7": (5, 60.0)}, batches_digest="x"),
        relay("b", batches={"": (100, 600.0), "7": (5, 60.0)}, batches_digest="x"),
        relay("c", batches={"": (100, 600.0)}, batches_digest="y"),
        relay("d", is_running=False, batches_digest="z"),
    ]

    (finding,) = relay_cards_findings(views)

    assert finding.id == "VC127"
    assert "account 7 5 events or 60 s at a, b; account 7 100 events or 600 s at c" in finding.what


def test_nothing_is_said_where_there_is_no_relay() -> None:
    """Most fleets have none, and need no line of it."""
    assert list(relay_cards_findings([])) == []
    assert list(helpless_relay_findings(Settings(spool_dir=""))) == []
    assert list(helpless_relay_findings(Settings(relay_accounts=("1=a",)))) == []


def test_a_relay_without_a_spool_is_helpless_while_redis_is_away() -> None:
    """Its cards cannot be read then; the doctor goes by the settings."""
    (finding,) = helpless_relay_findings(Settings(relay_accounts=("1=a",), spool_dir=""))

    assert (finding.id, finding.state) == ("VC125", "problem")
