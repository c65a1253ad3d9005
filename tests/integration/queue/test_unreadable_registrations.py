"""Registrations with values that nobody should have stored: delivered if they can be, else told."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

import vwo_celery
from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery.delivering.delivery import deliver
from vwo_celery.delivering.worker import Worker
from vwo_celery.destinations import StoredDestination
from vwo_celery.errors import QueueUnreadable
from vwo_celery.operating.doctor.queues import queue_findings
from vwo_celery.operating.looks.inspector import QueueView
from vwo_celery.queue.looks.snapshots import take_snapshot
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.registration import NEWEST_VERSION, Registration, Wakeup
from vwo_celery.queue.work import sweeping
from vwo_celery.settings import Settings
from vwo_celery.spool.files import spool_files
from vwo_celery.spool.spool import Spool
from vwo_celery.testing import Standin

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")

#: Name of a queue, made from values that its registration now lacks.
NAME = "fme-1-0123456789ab"
EVENT = {
    "d": {
        "msgId": "m", "visId": "v", "sessionId": 1,
        "event": {"name": "n", "props": {}, "time": 1},
    },
    "u": "v", "eT": 3, "sId": 1, "t": "{}",
}  # fmt: skip
#: Parts of a destination that releases before 0.2 stored without a check, and what was meant.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"region": None, "base_url": None, "sdk_name": None, "usage_stats": None},
     "sn=vwo-fme-python-sdk&sv=1.65.0"),
    ({"region": 1}, "/1/server-side/"),
    ({"sdk_version": 1.65}, "sv=1.65"),
    ({"usage_stats": {"eb": 1, "_l": "1"}}, "eb=1&_l=1"),
]  # fmt: skip


def stored(**parts: Any) -> Registration:
    """A registration under NAME, of a destination with these parts."""
    known = {"account_id": 1, "sdk_key": KEY, "generation": "fme", **parts}
    limits = Limits(
        events_per_request=5, interval_ms=60_000, batch_bytes=1_000_000, capacity_events=1_000,
        capacity_bytes=1_000_000, parallel=2, slot_ttl_ms=10_000,
    )  # fmt: skip
    return Registration(StoredDestination(**known, name=NAME), limits)


def store(queues: Queues, registration: Registration, wrong: dict[str, Any]) -> None:
    """Put a queue of one event into Redis, with a registration whose destination has *wrong* parts."""
    queues.fleet.register(registration)
    listed = queues.fleet.keys.queues
    text = queues.client.hget(listed, NAME)
    assert text is not None
    known = json.loads(text)
    queues.client.hset(
        listed, NAME, json.dumps({**known, "destination": {**known["destination"], **wrong}})
    )
    queues.client.lpush(queues.fleet.shard(NAME, 0).keys.open, json.dumps(EVENT))


def run_worker(queues: Queues, standin: Standin) -> None:
    """Seal what the queue holds, and deliver it."""
    sweeping.sweep(queues.fleet, by="beat")
    sweeping.sweep_shard(queues.fleet.shard(NAME, 0), force=True)
    settings = Settings(redis_url=queues.settings.redis_url, allowed_hosts=(standin.netloc,))
    deliver(Worker(queues.fleet, settings, lambda wakeup: None), Wakeup(NAME, 0, ""))


def view(queues: Queues) -> QueueView:
    """The queue of that name, if its registration can be read."""
    return next(each for each in queues.views() if each.queue == NAME)


@pytest.mark.parametrize(("wrong", "sent"), WRONG[1:], ids=lambda each: str(each)[:30])
def test_what_an_older_release_stored_is_delivered_under_its_name(
    queues: Queues, standin: Standin, wrong: dict[str, Any], sent: str
) -> None:
    """A destination stored with values of a wrong type is read as it was meant; ledger and name stay."""
    generation = "legacy" if "usage_stats" in wrong else "fme"
    store(queues, stored(base_url=standin.url, generation=generation), wrong)

    run_worker(queues, standin)

    (request,) = standin.batches
    assert sent in request.target
    assert view(queues).ledger.accepted == 1


def test_parts_stored_as_none_are_left_out(queues: Queues) -> None:
    """A destination stored with None is read as if the part was left out."""
    wrong, sent = WRONG[0]
    store(queues, stored(), wrong)

    found = queues.fleet.registration(NAME).destination

    assert sent in found.url
    assert found.queue == NAME
    assert view(queues).open == 1


def test_a_spooled_registration_of_an_older_release_is_read(queues: Queues, tmp_path: Any) -> None:
    """What a host has spooled for such a destination is drained under the same name."""
    spool = Spool(spool_files(str(tmp_path), "vwo", "here"), max_bytes=1_000_000)
    spool.put(stored(region="eu01"), [b"{}"])
    (path,) = spool.files.paths()
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE queues SET registration = replace(registration, '\"eu01\"', 'null')"
        )

    page = spool.take()

    database.close()
    spool.close()
    assert page is not None
    assert page.queue == NAME
    assert page.registration.destination.region == ""


def commands_say(queues: Queues) -> dict[str, str]:
    """What each command prints about a fleet in which no worker can send a queue, and exits with."""
    url = queues.settings.redis_url
    said = {}
    for words in (["status"], ["flush"], ["queues"], ["flush", "--queue", NAME], ["ledger"]):
        result = run_command(["--redis-url", url, *words])
        text = " ".join((result.stdout + result.stderr).split())
        said[" ".join(words)] = f"exit {result.exit_code}: {text}"
    return said


def test_what_cannot_be_read_is_told_by_each_command(queues: Queues) -> None:
    """Each command says that the queue cannot be sent, why, and how many events that concerns."""
    store(queues, stored(), {"region": ["eu01"]})

    said = commands_say(queues)
    (finding, *_) = queue_findings(queues.fleet, queues.settings)
    flushed = json.loads(
        run_command(["--redis-url", queues.settings.redis_url, "flush", "--json"]).stdout
    )

    for words in ("status", "flush", "queues", f"flush --queue {NAME}"):
        assert "cannot be read by this release" in said[words], words
        assert "region" in said[words], words
    assert said["flush"].startswith("exit 1")
    assert "nothing to send" not in said["flush"]
    assert said[f"flush --queue {NAME}"].startswith("exit 1")
    assert "no queue is registered" not in said["status"] + said["ledger"]
    assert [(each["queue"], each["pending"]) for each in flushed] == [(NAME, 1)]
    assert finding.state == "problem"
    assert "1 event of theirs" in finding.what


def restart_application(queues: Queues, good: vwo_celery.Queue) -> None:
    """Let the application register what it stored before, as its first event does."""
    queues.fleet.register(stored(base_url=good.destination.base_url))


def give_registration(queues: Queues, good: vwo_celery.Queue) -> None:
    """Run the command of the doctor's remedy."""
    (finding, *_) = queue_findings(queues.fleet, queues.settings)
    typed = re.search(
        r'redis-cli HSET (\S+) (\S+) "\$\(redis-cli HGET (\S+) QUEUE\)"', finding.remedy
    )
    assert typed is not None
    text = queues.client.hget(typed[3], good.name)
    assert text is not None
    queues.client.hset(typed[1], typed[2], text)


@pytest.mark.parametrize("remedy", [restart_application, give_registration])
def test_the_remedy_of_the_doctor_works(
    queues: Queues, standin: Standin, remedy: Callable[[Queues, vwo_celery.Queue], None]
) -> None:
    """After the remedy the events are delivered, and counted in the queue that they were stored in."""
    good = queues.add(base_url=standin.url)
    store(queues, stored(base_url=standin.url), {"region": ["eu01"]})
    run_worker_fails = [finding.state for finding in queue_findings(queues.fleet, queues.settings)]

    remedy(queues, good)
    run_worker(queues, standin)

    assert run_worker_fails[0] == "problem"
    assert len(standin.events) == 1
    assert (view(queues).ledger.accepted, view(queues).ledger.delivered) == (1, 1)


def test_what_a_later_release_registered_is_left_to_its_workers(
    queues: Queues, standin: Standin
) -> None:
    """A worker claims nothing of such a queue: its batches are as they were, and are delivered under
    that name once a worker can read what they need.
    """
    store(queues, stored(base_url=standin.url), {})
    known = queues.client.hget(queues.fleet.keys.queues, NAME)
    assert known is not None
    later = json.dumps({**json.loads(known), "version": NEWEST_VERSION + 1})
    queues.client.hset(queues.fleet.keys.queues, NAME, later)

    with pytest.raises(QueueUnreadable, match="a later one wrote it"):
        run_worker(queues, standin)
    shard = take_snapshot(queues.fleet.shard(NAME, 0))

    assert standin.requests == []
    assert [(each.state, each.attempt, each.events) for each in shard.batches] == [("ready", 0, 1)]
    queues.client.hset(queues.fleet.keys.queues, NAME, known)
    run_worker(queues, standin)
    assert len(standin.events) == 1
    assert (view(queues).ledger.accepted, view(queues).ledger.delivered) == (1, 1)
