"""The oracle finds lost and repeated events, and whether a repeat is excused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import requests

from chaos.oracle import Evidence, judge
from chaos.receipts import Receipts
from chaos.relayed import fme_event
from chaos.soak import slow_calls
from chaos.vendor import Acceptance, Vendor, name_of
from tools.installation import event
from vwo_celery.testing.standin import Fault

ONCE = (Acceptance(1, True),)


def evidence(**changes: object) -> Evidence:
    """Three events of one application, promised and accepted once each."""
    names = ("app1-0", "app1-1", "app1-2")
    plain = Evidence(
        promised=frozenset(names), taken=dict.fromkeys(names, ONCE), next_number={"app1": 3}
    )
    return msgspec.structs.replace(plain, **changes)


def test_all_is_well() -> None:
    """If each event is accepted once, nothing is lost, duplicated or a stranger."""
    judgement = judge(evidence())

    assert judgement.lost | judgement.waiting | judgement.strangers == set()
    assert (judgement.promised, judgement.duplicated, judgement.unexcused) == (3, 0, 0)


def test_a_promised_event_that_is_nowhere_is_lost() -> None:
    """A promised event is lost unless it was accepted, is dead or waits."""
    names = [f"app1-{number}" for number in range(4)]
    judgement = judge(
        evidence(
            promised=frozenset(names),
            taken={names[0]: ONCE},
            dead=frozenset(names[1:2]),
            waiting=frozenset(names[2:3]),
        )
    )

    assert judgement.lost == {names[3]}
    assert judgement.waiting == {names[2]}


@pytest.mark.parametrize(
    ("answered", "unexcused"),
    [((False, True), 0), ((False, False, True), 0), ((True, True), 1), ((True, False), 1)],
)
def test_only_a_lost_answer_excuses_a_repeat(answered: tuple[bool, ...], unexcused: int) -> None:
    """A repeat after an answer that was sent in full is not excused."""
    times = [Acceptance(number, each) for number, each in enumerate(answered)]

    judgement = judge(evidence(taken={"app1-0": times}, promised=frozenset({"app1-0"})))

    assert judgement.duplicated == len(answered) - 1
    assert judgement.unexcused == unexcused
    assert judgement.batches == set(range(1, len(answered)))


def test_a_client_that_sent_again_excuses_as_many_repeats() -> None:
    """An event that a relay's client sent three times may come three times, and not four."""
    times = [Acceptance(number, True) for number in range(4)]
    taken = {"app1-0": times, "app1-1": times[:3], "app1-2": ONCE}

    judgement = judge(evidence(taken=taken, repeats={"app1-0": 2, "app1-1": 2, "app1-2": 2}))

    assert (judgement.duplicated, judgement.unexcused) == (5, 1)


def test_an_event_without_a_receipt_is_known_if_its_call_was_the_last() -> None:
    """A killed application may have stored events of its last call without a receipt, and no others."""
    taken = {"app1-3": ONCE, "app1-4": ONCE, "app2-0": ONCE, "app3-9": ONCE}

    judgement = judge(evidence(taken=taken, burst=1))

    assert judgement.strangers == {"app1-4", "app3-9"}


def test_receipts_are_read_as_they_come(tmp_path: Path) -> None:
    """Half a line is left for the next read; each receipt counts for all events of its call."""
    receipts = Receipts(tmp_path)
    file = receipts.file("app1").open("a")
    file.write("0 2 redis - 1.5\n2 1 spooled - 250.0\n3 1 dropped queue_full 0.1\n4 1 red")
    file.flush()
    receipts.read()
    half = set(receipts.promised)
    file.write("is - 0.2\n")
    file.close()

    receipts.read()

    assert half == {"app1-0", "app1-1", "app1-2"}
    assert receipts.promised == half | {"app1-4"}
    assert (receipts.spooled, dict(receipts.dropped)) == (1, {"queue_full": 1})
    assert (receipts.next_number, receipts.longest_ms) == ({"app1": 5}, 250.0)
    assert [receipts.take_longest(), receipts.take_longest()] == [250.0, 0.0]


def test_a_soak_bounds_each_call_as_the_fault_does() -> None:
    """An application that is stopped takes longer; at any other fault, that breaks a promise."""
    frozen, other = "application-frozen-in-a-write", "applications-signalled"

    slow = slow_calls({frozen: 5_000.0, other: 2_000.0}) + slow_calls({other: 5_000.0})

    assert slow == [f"one enqueue took 5,000 ms at {other}, at most 2,500 it may"]


def test_receipts_of_a_relays_clients(tmp_path: Path) -> None:
    """A 200 promises, and what was sent without a look at the answer; what never got a 200 does not."""
    receipts = Receipts(tmp_path)
    lines = [
        "0 2 answered again:3 9",
        "2 1 answered - 1",
        "3 1 sent - 1",
        "4 1 unanswered again:7 1",
    ]
    receipts.file("app1").write_text("".join(f"{line}\n" for line in lines))

    receipts.read()

    assert receipts.promised == {f"app1-{number}" for number in range(4)}
    assert receipts.repeats == {"app1-0": 3, "app1-1": 3, "app1-4": 7}
    assert not receipts.dropped


def test_an_event_has_its_name_in_either_generation() -> None:
    """The name is the visitor's id."""
    events = [event("app1-7"), fme_event(event("app1-7"))]

    assert [name_of(msgspec.json.encode(each)) for each in events] == ["app1-7"] * 2


def test_the_vendor_notes_what_it_took_and_whose_answer_was_lost() -> None:
    """A batch is accepted even if its connection was reset, a refused one not; accounts are separate."""
    with Vendor() as vendor:
        vendor.misbehave = lambda _: Fault(connection="reset", accepted=True)
        with pytest.raises(requests.ConnectionError):
            _post(vendor, 7, "a", "b")
        vendor.misbehave = lambda _: 503
        assert _post(vendor, 7, "c").status_code == 503
        vendor.behave()
        assert _post(vendor, 7, "a").ok

        assert vendor.taken("7") == {
            "a": [Acceptance(1, False), Acceptance(3, True)],
            "b": [Acceptance(1, False)],
        }
        assert (vendor.took("8"), vendor.asked["7"], vendor.in_hand) == (0, 3, 0)


def _post(vendor: Vendor, account: int, *names: str) -> requests.Response:
    return requests.post(
        f"{vendor.url}/server-side/batch-events?a={account}&env=KEY",
        headers={"Authorization": "KEY"},
        json={"ev": [event(name) for name in names]},
        timeout=5,
    )
