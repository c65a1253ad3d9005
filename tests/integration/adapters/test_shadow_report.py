"""`vwo-celery shadow-report` as typed: did our hook see exactly the events that the SDKs sent?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.command_line import run_command
from vwo_celery.connections import open_client
from vwo_celery.producing.shadowing import content, seen
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.records.shadows import KINDS, NOTHING, RowName, State, Sums, Told, add_counts

pytestmark = pytest.mark.declared_keys("shadow")

ROW = RowName("fme-1-test", "purchase", "")


@pytest.fixture
def fleet(redis_url: str) -> Fleet:
    """The queues of this test's Redis."""
    return Fleet(open_client(redis_url, timeout_seconds=5), "vwo")


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on this test's Redis, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *words: run_command(["--redis-url", redis_url, "shadow-report", *words])


def counted(**events: list[Any]) -> Sums:
    """The sums of a row in which these events were seen, by kind."""
    found = dict(zip(KINDS, NOTHING, strict=True))
    for kind, those in events.items():
        for event in those:
            found[kind] = found[kind].plus(seen(ROW, content({"n": event})[0])[1])
    return tuple(found.values())


def tell(
    fleet: Fleet, name: RowName = ROW, *, process: str = "p1", state: State = "runs", **events: Any
) -> None:
    """Be a process that counted these."""
    held = len(events.get("held", ()))
    add_counts(fleet, Told(process, "web-1", 1, 0, held, state, {name: counted(**events)}))


def test_the_same(fleet: Fleet, run: Any) -> None:
    """Each event that the hook saw was sent, in whatever order and by whatever process."""
    tell(fleet, hooked=[1, 2], sent=[3], process="p1")
    tell(fleet, hooked=[3], sent=[2, 1], process="p2", state="ended")

    shown = run()

    assert shown.exit_code == 0
    assert "purchase" in shown.stdout
    assert "1 process runs on web-1, 1 ended" in shown.stdout
    assert "the same: our hook saw exactly the events that the SDKs sent, 3 events" in shown.stdout
    document = json.loads(run("--json").stdout)
    assert document["verdict"] == "same"
    del document["rows"][0]["queue"]
    assert document["rows"] == [
        {
            "event": "purchase", "campaign": "", "sent": 3, "lost": 0, "held": 0, "hook": 3,
            "inherited": 0, "difference": 0, "same_contents": True, "unsendable": 0, "aside": 0,
        }
    ]  # fmt: skip


def test_what_is_under_way_explains_a_difference(fleet: Fleet, run: Any) -> None:
    """Events in an SDK's memory are no difference; those of a process that is gone are told apart."""
    tell(fleet, hooked=[1, 2], sent=[1], held=[2])
    tell(fleet, hooked=[3], held=[3], process="p2", state="ended")

    shown = run()

    assert shown.exit_code == 0
    assert "the same so far: of 3 events" in shown.stdout
    assert "1 event in the memory of SDKs, to be sent with their next batch" in shown.stdout
    assert "1 event in the memory of SDKs whose process is gone" in shown.stdout


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ({"hooked": [1], "sent": [1, 2]}, "the SDK sent 1 event that our hook did not see"),
        ({"hooked": [1, 2, 3], "sent": [1]}, "our hook saw 2 events that the SDK did not send"),
        ({"hooked": [1, 2], "sent": [1, 3]}, "as many events, but with other contents"),
        ({"hooked": [1], "held": [2]}, "as many events, but with other contents"),
    ],
)
def test_a_difference_is_found(events: Any, words: str, fleet: Fleet, run: Any) -> None:
    """A row that differs comes first and says how; the command exits 1."""
    tell(fleet, RowName("a", "agrees", "1"), hooked=[1], sent=[1], process="p2")
    tell(fleet, **events)

    shown = run()

    assert shown.exit_code == 1
    assert words in shown.stdout
    assert "1 row differs: do not attach yet; look again in ten seconds" in shown.stdout
    assert json.loads(run("--json").stdout)["rows"][0]["event"] == "purchase"


def test_notes_of_a_row(fleet: Fleet, run: Any) -> None:
    """What the SDK lost, sent again after a fork, cannot send, and sends by itself is told."""
    tell(
        fleet, hooked=[1, 2], sent=[2, 5], lost=[1], inherited=[5], unsendable=[2], aside=[7, 8],
    )  # fmt: skip

    shown = run()

    assert shown.exit_code == 0
    for words in (
        "1 event lost by the SDK", "1 event sent again by the SDK in forked processes",
        "1 event that no batch can carry", "2 reports of the SDK's about itself",
    ):  # fmt: skip
        assert words in shown.stdout


def test_nothing_counted(run: Any) -> None:
    """The error says what to do; with --json, as a document."""
    shown = run()

    assert shown.exit_code == 1
    assert "nothing was counted in namespace vwo" in shown.stderr
    assert "Call vwo_celery.shadow(client)" in shown.stderr
    assert "error" in json.loads(run("--json").stdout)


def test_a_reset_forgets_and_is_recorded(fleet: Fleet, redis_url: str, run: Any) -> None:
    """What was counted is gone; the audit tells who did it."""
    tell(fleet, hooked=[1])

    assert run("--reset").exit_code == 0
    assert json.loads(run("--reset", "--json").stdout) == {"reset": False}

    assert run().exit_code == 1
    audited = run_command(["--redis-url", redis_url, "audit", "--json"])
    commands = [change["command"] for change in json.loads(audited.stdout)]
    assert commands == ["shadow-report --reset"] * 2
