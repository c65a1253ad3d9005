"""What commands show of destinations that say what their SDK said: all of it, and no key."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

import vwo_celery
from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.operating.batches import move_plans
from vwo_celery.operating.documents.queues import destination_facts
from vwo_celery.producing.queue import producer_of
from vwo_celery.spool.files import spool_files
from vwo_celery.spool.spool import Spool

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released")
Run = Callable[..., Result]
ANDROID = (("sn", "vwo-fme-android-sdk"), ("sv", "1.55.0"), ("i", KEY), ("pt", "android"))


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on this test's Redis, without settings from this machine's environment."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "500")
    return lambda *words: run_command(("--redis-url", redis_url, *words))


def add(queues: Queues, **parts: Any) -> vwo_celery.Queue:
    """A registered queue of account 1."""
    destination = vwo_celery.Destination(
        **{"generation": "fme", **parts}, account_id=1, sdk_key=KEY
    )
    queue = vwo_celery.connect(
        destination,
        batch_event_data={"events_per_request": 5, "request_time_interval": 60},
        redis_url=queues.settings.redis_url,
    )
    assert producer_of(queue).register()
    return queue


def test_queues_shows_what_the_sdk_said(queues: Queues, run: Run) -> None:
    """The list and its document have the query, with its keys masked; None where there is none."""
    android, silent = add(queues, query=ANDROID), add(queues, query=())
    plain, single = add(queues), add(queues, generation="single")

    listed = run("queues")
    documents = {each["queue"]: each for each in json.loads(run("queues", "--json").stdout)}

    assert "sn=vwo-fme-android-sdk&sv=1.55.0&i=…cdef&pt=android" in listed.stdout
    assert "no SDK name" in listed.stdout
    assert "each event says it" in listed.stdout
    assert KEY not in listed.stdout + json.dumps(documents)
    assert documents[android.name]["query"][2] == ["i", "…cdef"]
    assert documents[android.name]["sdk"] == ["vwo-fme-android-sdk", "1.55.0"]
    assert (documents[silent.name]["query"], documents[silent.name]["sdk"]) == ([], ["", ""])
    assert documents[plain.name]["query"] is None
    assert documents[single.name]["generation"] == "single"


def test_queues_of_one_account_are_told_apart_by_their_query(queues: Queues, run: Run) -> None:
    """Two spellings of one SDK are two queues: status says by what they differ."""
    silent, empty = add(queues, query=()), add(queues, query=(("sn", ""),))
    queues.fill(silent, 1)
    queues.fill(empty, 1)

    told = {
        each["queue"]: each["told_apart_by"]
        for each in json.loads(run("status", "--json").stdout)["queues"]
    }

    assert told == {silent.name: "as no SDK name", empty.name: "as sn="}


def test_a_move_tells_what_the_requests_will_say(queues: Queues, run: Run) -> None:
    """A move to a queue of another spelling says both, and its document has them."""
    silent, android = add(queues, query=()), add(queues, query=ANDROID)
    queues.fill(silent, 1)
    registered = queues.registered

    plan = move_plans.plan_to_queue(
        queues.fleet, queues.settings, registered[silent.name], registered[android.name]
    )
    moved = run("move", "--from", silent.name, "--to", android.name, "--dry-run", "--json")

    assert (
        "the requests will name sn=vwo-fme-android-sdk&sv=1.55.0&i=…cdef&pt=android and not no SDK "
        "name" in plan.notes
    )
    assert KEY not in moved.stdout
    assert destination_facts(registered[silent.name])["query"] == ()


def test_a_spooled_queue_keeps_what_its_sdk_said(queues: Queues, tmp_path: Any) -> None:
    """What waits on a host's disk is drained into the same queue."""
    registration = producer_of(add(queues, query=ANDROID)).registration
    spool = Spool(spool_files(str(tmp_path), "vwo", "here"), max_bytes=1_000_000)
    spool.put(registration, [b"{}"])

    page = spool.take()

    spool.close()
    assert page is not None
    assert page.registration.destination == registration.destination
    assert page.queue == registration.destination.queue
