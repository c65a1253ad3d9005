"""Workers' cards: who listens, with what, since when, and in what workers differ."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tools.queue_states import Queues
from vwo_celery import Settings
from vwo_celery.celery.worker.describing import _shown
from vwo_celery.cli import main
from vwo_celery.operating.doctor.cards import worker_cards_findings
from vwo_celery.operating.looks.workers import differences, view_workers
from vwo_celery.queue.records.cards import Card, forget_cards, read_cards, write_card
from vwo_celery.queue.signs import LISTENER_TTL_SECONDS

SECOND = 1_000
NEW, OLD = "0.2.0", "0.1.0"


def listens(queues: Queues, name: str, version: str = NEW, **settings: object) -> None:
    """A worker that listens, with a card."""
    shown = _shown(Settings(redis_url=queues.settings.redis_url, **settings))  # type: ignore[arg-type]
    started_ms = queues.fleet.now_ms() - 90 * SECOND
    card = Card(
        version=version, python="3.12.1", celery="5.5.0", pool="prefork", concurrency=8, busy=3,
        celery_queues=("vwo",), started_ms=started_ms, rss_bytes=2**28, settings=shown,
    )  # fmt: skip
    write_card(queues.fleet, name, card)
    queues.fleet.note_listener(name)


def say(queues: Queues, *words: str) -> str:
    """The output of `vwo-celery workers`."""
    ran = CliRunner().invoke(main, ["workers", "--redis-url", queues.settings.redis_url, *words])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_a_worker_is_shown_with_its_card(queues: Queues) -> None:
    """The command lists who listens: release, pool, busy lanes, since when, and when last heard."""
    listens(queues, "web1:71-9c2e")
    queues.fleet.client.zincrby(queues.fleet.keys.listeners, -7 * SECOND, "web1:71-9c2e")

    text, document = say(queues), json.loads(say(queues, "--json"))

    for word in ("web1:71-9c2e", NEW, "prefork", "3 of 8", "90 s", "256.0 MiB", "vwo"):
        assert word in text
    assert "differ" not in text
    (worker,) = document["workers"]
    assert document["differences"] == []
    assert 7 <= worker["heard_age_seconds"] < LISTENER_TTL_SECONDS
    assert worker["up_seconds"] >= 90
    assert worker["card"]["settings"]["lease_seconds"] == 60
    assert worker["card"]["celery_queues"] == ["vwo"]


def test_nobody_listens(queues: Queues) -> None:
    """Without a worker the command says how to start one."""
    assert "no worker listens; start one: celery -A" in say(queues)
    assert json.loads(say(queues, "--json")) == {"workers": [], "differences": [], "unreadable": []}
    assert list(worker_cards_findings(view_workers(queues.fleet))) == []


def test_a_worker_of_an_older_release_has_no_card(queues: Queues) -> None:
    """Its note alone is shown, and that its release is older."""
    queues.fleet.note_listener("web2:5")

    assert "no card (release before 0.2.0)" in say(queues)
    assert json.loads(say(queues, "--json"))["workers"][0]["card"] is None


def test_doctor_warns_of_workers_that_differ_by_name(queues: Queues) -> None:
    """Of two workers, one with another allowed_hosts and one release older: both are told."""
    listens(queues, "web1:1", allowed_hosts=["vwo.example"])
    listens(queues, "web2:2", OLD)

    release, hosts = worker_cards_findings(view_workers(queues.fleet))

    assert [(each.id, each.state) for each in (release, hosts)] == [
        ("VC411", "warn"), ("VC412", "warn"),
    ]  # fmt: skip
    assert f"{NEW} at web1:1; {OLD} at web2:2" in release.what
    assert 'allowed_hosts is ["vwo.example"] at web1:1; [] at web2:2' in hosts.what
    assert "VWO_CELERY_ALLOWED_HOSTS" in hosts.remedy
    text = say(queues)
    assert "workers differ in version:" in text
    assert "workers differ in allowed_hosts:" in text


def test_doctor_warns_of_a_worker_without_a_card_by_name(queues: Queues) -> None:
    """A worker of a release before 0.2.0 beside a new one is told as one of another release."""
    listens(queues, "web1:1")
    queues.fleet.note_listener("web2:2")

    (release,) = worker_cards_findings(view_workers(queues.fleet))

    assert "before 0.2.0 at web2:2" in release.what


@pytest.mark.parametrize(
    "own", [{"spool_dir": "/srv/spool"}, {"log_format": "json"}, {"enqueue_timeout_seconds": 1}]
)
def test_what_is_a_hosts_own_is_no_difference(queues: Queues, own: dict[str, object]) -> None:
    """Settings that each host may choose for itself are compared with nobody's."""
    listens(queues, "web1:1")
    listens(queues, "web2:2", **own)

    assert differences(view_workers(queues.fleet)) == []
    (well,) = worker_cards_findings(view_workers(queues.fleet))
    assert well.state == "ok"


def test_cards_of_workers_that_are_gone_are_forgotten(queues: Queues) -> None:
    """A worker that died is not shown, and the next note of another takes its card away."""
    fleet = queues.fleet
    listens(queues, "dead:1")
    fleet.client.zincrby(fleet.keys.listeners, -16 * SECOND, "dead:1")
    assert view_workers(fleet) == []

    gone = fleet.note_listener("alive:2")
    forget_cards(fleet)

    assert gone == 1
    assert read_cards(fleet) == {}


def test_a_card_of_a_later_release_hides_no_other(queues: Queues) -> None:
    """Fields that this release does not know are left aside, and a card of another form is none."""
    listens(queues, "web1:1")
    fleet = queues.fleet
    later = {"version": "9.0.0", "shape": {"deep": 1}}
    fleet.client.hset(fleet.keys.workers, "web2:2", json.dumps(later))
    fleet.client.hset(fleet.keys.workers, "web3:3", "\x80")
    for name in ("web2:2", "web3:3"):
        fleet.note_listener(name)

    views = {each.worker: each.version for each in view_workers(fleet)}

    assert views == {"web1:1": NEW, "web2:2": "9.0.0", "web3:3": "before 0.2.0"}


def test_a_card_holds_no_password(queues: Queues) -> None:
    """Of the URLs a card has only what is no secret."""
    url = "redis://user:hunter2@redis.example:6380/1?password=hunter2"

    shown = _shown(Settings(redis_url=url, broker_url="amqp://u:hunter2@rabbit/v"))

    assert "hunter2" not in json.dumps(shown)
    assert "redis.example:6380/1" in shown["redis_url"]
