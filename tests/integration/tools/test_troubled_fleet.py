"""The fleet in trouble that the pages are shown with: each queue is in its own trouble, by real means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tools.command_line import document
from tools.queue_states import find_dead
from tools.troubled_fleet import DEAD, DEAD_LETTERS, STOPS, WAITING, WELL, troubled_fleet
from tools.waiting import wait_until


def _undelivered(queue: Any) -> int:
    return sum(queue[state] for state in ("open", "ready", "in_flight", "released"))


@pytest.mark.declared_keys("broker:*", "*")
def test_each_queue_is_in_its_own_trouble(
    redis_url: str, tmp_path: Path, run: Callable[..., Result]
) -> None:
    """Worker, beat and VWO's answers stop four queues, refuse events of a fifth, and take a sixth's."""
    with troubled_fleet(redis_url, tmp_path) as fleet:
        status = document(run("status", "--json"))
        findings = {each["id"] for each in document(run("doctor", "--json"))}
        shown: dict[int, Any] = {
            fleet.registered[each["queue"]].destination.account_id: each
            for each in status["queues"]
        }

        assert {account: shown[account]["stopped"]["by"] for account in STOPS} == STOPS
        assert {account: _undelivered(shown[account]) for account in WAITING} == WAITING
        assert shown[DEAD]["dead"] == DEAD_LETTERS
        assert _undelivered(shown[WELL]) == 0
        assert {"VC612", "VC614", "VC611", "VC622", "VC406", "VC631"} <= findings


@pytest.mark.declared_keys("broker:*", "*")
def test_a_new_queue_is_without_trouble_and_delivers(redis_url: str, tmp_path: Path) -> None:
    """Tests that act have queues of their own, whose events the same worker delivers on a flush."""
    with troubled_fleet(redis_url, tmp_path) as fleet:
        name = fleet.new_queue(events=3)
        assert fleet.view(name).open == 3

        fleet.flush(name)

        wait_until(lambda: fleet.delivered(name) == 3, 10, what="delivery of a new queue")


@pytest.mark.declared_keys("broker:*", "*")
def test_vwo_takes_what_it_refused_once_its_account_is_mended(
    redis_url: str, tmp_path: Path
) -> None:
    """Dead letters that a test redrives are delivered, if it wants, and die again otherwise."""
    with troubled_fleet(redis_url, tmp_path) as fleet:
        name = fleet.new_dead(2)
        assert (fleet.view(name).dead_batches, fleet.delivered(name)) == (2, 4)
        fleet.accept_all(name)

        for batch in find_dead(fleet.fleet, {name: fleet.registered[name]}):
            fleet.fleet.shard(name, 0).redrive(batch.batch)

        wait_until(lambda: fleet.delivered(name) == 6, 10, what="delivery of the dead letters")
