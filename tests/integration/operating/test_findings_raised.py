"""Each trouble of the doctor on a real server, and its remedy, as it is printed, tried there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import pytest
from celery.app.utils import find_app
from celery.bin.celery import celery as celery_command

from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.cli import main
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor import BrokerFacts, Finding
from vwo_celery.operating.doctor.kinds import KINDS
from vwo_celery.queue.capacity import make_room
from vwo_celery.queue.holding.declines import note_decline
from vwo_celery.queue.records.relays import RelayCard, RelayCounts, write_relay_card
from vwo_celery.queue.work.stranded import restore
from vwo_celery.settings import Settings

pytestmark = pytest.mark.declared_keys(
    *HOLDS_SOMETHING, "declined", "declined_queues", "audit", "aside:*", "births", "released"
)
BROKER = BrokerFacts(url="redis://broker", queue="q", workers=("w",), consumers=("w",))
#: Commands of ours and of Celery's in a remedy.
OURS = re.compile(r"vwo-celery ([a-z]+(?: [a-z]+)*(?: --\S+ [^\s;,]+)*)")
CELERYS = re.compile(r"celery (-A \S+ (?:worker|beat)(?: -Q \S+)?)")
MINUTE_MS = 60_000


class Scene(NamedTuple):
    """One trouble: how it comes about, and whether its remedy, typed, ends it here."""

    id: str
    spoil: Callable[[Queues], Any]
    broker: BrokerFacts = BROKER
    settings: dict[str, Any] = {}  # noqa: RUF012  never changed
    mend: str = ""


def _queue_with(events: int, **batch: Any) -> Callable[[Queues], Any]:
    def spoil(queues: Queues) -> Any:
        queue = queues.add(**batch)
        queues.fill(queue, events)
        return queue

    return spoil


def _held(by: Any) -> Callable[[Queues], None]:
    def spoil(queues: Queues) -> None:
        shard = queues.shard(_queue_with(5)(queues))
        shard.hold(queues.fleet.now_ms() + 10 * MINUTE_MS, by=by, why="VWO answered 403")

    return spoil


def _paused(by: Any) -> Callable[[Queues], None]:
    return lambda queues: queues.shard(_queue_with(5)(queues)).pause("VWO answered 401", by=by)


def _released(queues: Queues) -> None:
    queues.release(_queue_with(5)(queues), "VWO answered 503")


def _late(queues: Queues) -> None:
    queues.age_open(_queue_with(1)(queues), 5000)


def _dead(queues: Queues) -> None:
    queues.kill(_queue_with(5)(queues), "VWO answered 413")


def _capacity(share: int) -> Callable[[Queues], None]:
    def spoil(queues: Queues) -> None:
        meta = queues.shard(_queue_with(10, events_per_request=100)(queues)).keys.meta
        queues.client.hset(meta, "capacity_events", share)

    return spoil


def _dropped(queues: Queues) -> None:
    shard = queues.shard(_queue_with(10)(queues))
    queues.client.hset(shard.keys.meta, "capacity_events", 10)
    make_room(shard, [b"{}"] * 5)


def _unbalanced(queues: Queues) -> None:
    queues.client.hincrby(queues.shard(_queue_with(1)(queues)).keys.meta, "accepted", 3)


def _stranded(queues: Queues) -> None:
    shard = queues.shard(_queue_with(5)(queues))
    queues.client.delete(shard.keys.ready)
    restore(shard)


def _meta(queues: Queues, **fields: Any) -> None:
    queues.client.hset(queues.shard(queues.add()).keys.meta, mapping=fields)


def _lost(queues: Queues) -> None:
    lost = {"accepted": 3, "dropped:redis_lost": 3, "redis_lost_ms": queues.fleet.now_ms()}
    _meta(queues, **lost)


def _unregistered(queues: Queues) -> None:
    _queue_with(3)(queues)
    queues.client.delete(queues.fleet.keys.queues)


def _wrong_type(queues: Queues) -> None:
    keys = queues.shard(queues.add()).keys
    queues.client.set(keys.leases, "x")


def _declined(*by: str) -> Callable[[Queues], None]:
    def spoil(queues: Queues) -> None:
        queue = _queue_with(5)(queues)
        for worker in ("w:1", "w:2"):
            queues.fleet.note_listener(worker)
        for worker in by:
            note_decline(queues.fleet, queue.name, worker, "this worker may not send to 'a'")

    return spoil


def _no_beat(queues: Queues) -> None:
    queues.client.delete(queues.fleet.keys.pulse)
    queues.fleet.note_sweep("listener")


def _nobody_sweeps(queues: Queues) -> None:
    queues.client.delete(queues.fleet.keys.pulse)


def _busy_lanes(queues: Queues) -> None:
    queues.fleet.note_published("celery@broker")
    queues.client.hset(
        queues.fleet.keys.pulse, "published:celery@broker", queues.fleet.now_ms() - MINUTE_MS
    )
    queues.client.hset(queues.fleet.keys.pulse, "started:celery@broker", 1)


def _nobody_listens(queues: Queues) -> None:
    queues.fleet.forget_listener("w:1")


def _broker(**changes: Any) -> BrokerFacts:
    return msgspec.structs.replace(BROKER, **changes)


def _well(queues: Queues) -> None:
    queues.add()


def _relay(process: str = "r:1", **card: Any) -> Callable[[Queues], None]:
    def spoil(queues: Queues) -> None:
        queues.add()
        write_relay_card(queues.fleet, process, RelayCard(**card))

    return spoil


RESUME = "vwo-celery resume"
SCENES = [
    Scene("VC102", _queue_with(5, base_url="https://proxy.example")),
    Scene("VC103", lambda q: q.add(flush_callback="json:dumps")),
    Scene("VC104", lambda q: q.add(flush_callback="no:f"), settings={"callback_modules": ("no",)}),
    Scene("VC121", _well, settings={"relay_accounts": ("1=a", "2=*")}),
    Scene("VC122", _relay(recent=RelayCounts(left_behind_proxy=3))),
    Scene("VC123", _relay(recent=RelayCounts(folded=5))),
    Scene("VC124", _relay(recent=RelayCounts(refused={"access": 1}))),
    Scene("VC125", _relay(has_spool=False)),
    Scene("VC126", _relay(recent=RelayCounts(refused={"not_stored": 1}))),
    Scene("VC127", lambda q: [_relay(f"r:{n}", batches_digest=n)(q) for n in "ab"]),
    Scene("VC128", _relay(recent=RelayCounts(settings={"failed": 2, "stale": 1, "none": 1}))),
    Scene("VC241", _lost),
    Scene("VC242", lambda q: _meta(q, forgotten_ms=q.fleet.now_ms())),
    Scene("VC401", _nobody_listens),
    Scene("VC402", _nobody_sweeps),
    Scene("VC403", _no_beat),
    Scene("VC404", _busy_lanes),
    Scene("VC405", lambda q: q.fleet.note_misdirected("staging")),
    Scene("VC406", _declined("w:1", "w:2")),
    Scene("VC407", _declined("w:1")),
    Scene("VC501", _well, _broker(error="refused", trouble="refused")),
    Scene("VC502", _well, _broker(cluster=True)),
    Scene("VC503", _well, _broker(error="NOPERM", trouble="denied")),
    Scene("VC504", _well, _broker(blocked="connection blocked, see broker logs")),
    Scene("VC505", _well, _broker(gap=("is taken without a check", "set ssl_cert_reqs"))),
    Scene("VC511", _well, _broker(consumers=())),
    Scene("VC512", _well, _broker(strangers=("w",))),
    Scene("VC513", _well, _broker(workers=(), consumers=())),
    Scene("VC514", _well, _broker(hasty={"w": 5.0})),
    Scene("VC515", _well, _broker(refusing=("w",))),
    Scene("VC601", lambda _: None),
    Scene("VC602", lambda q: q.client.hset(q.fleet.keys.queues, "fme-9-later", "{}")),
    Scene("VC603", _unregistered),
    Scene("VC604", _wrong_type, mend="redis-cli RENAME"),
    Scene("VC611", _paused("operator"), mend=RESUME),
    Scene("VC612", _paused("refusal"), mend=RESUME),
    Scene("VC613", _held("refusal"), mend=RESUME),
    Scene("VC614", _held("outage")),
    Scene("VC615", _released),
    Scene("VC616", _late),
    Scene("VC621", _capacity(12)),
    Scene("VC622", _capacity(10)),
    Scene("VC631", _dead, mend="vwo-celery dead redrive"),
    Scene("VC632", _dropped),
    Scene("VC634", _unbalanced),
    Scene("VC635", _stranded),
]  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=[scene.id for scene in SCENES])
def test_each_trouble_is_raised_and_its_remedy_can_be_typed(queues: Queues, scene: Scene) -> None:
    """The trouble is found alone; each command of its remedy exists, and mends it where it can here."""
    queues.fleet.note_listener("w:1")
    queues.fleet.note_sweep("beat")
    if scene.id not in ("VC601", "VC603"):
        queues.add(9)
    scene.spoil(queues)

    found = examine(queues, scene)

    assert [each.id for each in found] == [scene.id]
    commands = OURS.findall(found[0].remedy)
    for words in commands:
        parses(main, shlex.split(words))
    for words in CELERYS.findall(found[0].remedy):
        _, app, name, *options = shlex.split(words)
        find_app(app)
        known = {each for param in celery_command.commands[name].params for each in param.opts}
        assert set(options[::2]) <= known
    if scene.mend.startswith("redis-cli"):
        typed = re.search(r"redis-cli (RENAME \S+ [^\s,]+)", found[0].remedy)
        assert typed is not None
        queues.client.execute_command(*shlex.split(typed[1]))
        assert examine(queues, scene) == []
    elif scene.mend:
        (typed,) = (words for words in commands if f"vwo-celery {words}".startswith(scene.mend))
        result = run_command([*shlex.split(typed), "--redis-url", queues.settings.redis_url])
        assert result.exit_code == 0, result.output
        assert scene.id not in [each.id for each in examine(queues, scene)]


def test_a_host_that_no_worker_may_send_to_is_told_once(queues: Queues) -> None:
    """Where every worker declines a queue for its host, that is one trouble, with both remedies."""
    queue = queues.add(base_url="https://proxy.example")
    queues.fill(queue, 5)
    queues.fleet.note_sweep("beat")
    queues.fleet.note_listener("w:1")
    note_decline(queues.fleet, queue.name, "w:1", "this worker may not send to 'proxy.example'")

    found = examine(queues, Scene("VC406", lambda _: None))

    assert [each.id for each in found] == ["VC406"]
    assert f"vwo-celery move --from {queue.name} --to-host URL" in found[0].remedy


@pytest.mark.parametrize("kind", ["VC102", "VC406"])
def test_where_nothing_may_be_sent_and_nothing_waits_it_is_a_warning(
    queues: Queues, kind: str
) -> None:
    """A queue for a host that is not allowed is a problem, and none once its events were moved."""
    (scene,) = (each for each in SCENES if each.id == kind)
    queues.fleet.note_listener("w:1")
    queues.fleet.note_sweep("beat")
    scene.spoil(queues)
    held = {each.id: each.state for each in examine(queues, scene)}
    (queue,) = queues.registered

    words = ("purge", "--queue", queue, "--state", "open", "--state", "ready", "--yes")
    assert run_command([*words, "--redis-url", queues.settings.redis_url]).exit_code == 0
    empty = {each.id: each.state for each in examine(queues, scene)}

    assert (held[kind], empty[kind]) == ("problem", "warn")


def examine(queues: Queues, scene: Scene) -> list[Finding]:
    """What is not well, but for a server that keeps nothing."""
    settings = Settings(redis_url=queues.settings.redis_url, spool_dir="", **scene.settings)
    found = doctor.examine(settings, lambda: queues.fleet, lambda _: scene.broker)
    return [each for each in found if each.state != "ok" and each.check != "persistence"]


def parses(group: click.Command, words: list[str]) -> None:
    """Make sure that a command line is understood; nothing is run."""
    context = click.Context(group, info_name="x")
    command = group
    while isinstance(command, click.Group) and (words or not command.invoke_without_command):
        while words[0].startswith("-"):  # options of the group, each with its value
            words = words[2:]
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found
    command.make_context(command.name, list(words), parent=context)


#: Where the scenarios of the other troubles are.
ELSEWHERE = {
    "integration/connections/test_troubles.py": ("VC20", "VC210", "VC211", "VC212", "VC213", "VC214",
                                                 "VC215", "VC301"),
    "unit/test_findings.py": ("VC105", "VC216", "VC23"),
    "integration/connections/test_sentinel.py": ("VC22",),
    "integration/operating/test_spool_findings.py": ("VC11",),
    "integration/adapters/cli/test_doctor.py": ("VC101",),
    "unit/test_doctor_limits.py": ("VC191",),
}  # fmt: skip


def test_each_trouble_has_a_scenario() -> None:
    """No trouble of the table is without a test that raises it, here, there, or under its own name."""
    here = {scene.id for scene in SCENES}
    tests = Path(__file__).parents[2]
    elsewhere = tuple(start for starts in ELSEWHERE.values() for start in starts)
    text = "".join(each.read_text("utf-8") for each in tests.rglob("test_*.py"))

    others = [kind for kind in KINDS if kind not in here and not kind.startswith(elsewhere)]

    assert all((tests / name).exists() for name in ELSEWHERE)
    assert [kind for kind in others if f'"{kind}"' not in text and not _by_check(kind, text)] == []


def _by_check(kind: str, text: str) -> bool:
    """Whether tests look for its check by name."""
    return f'"{KINDS[kind].check}"' in text
