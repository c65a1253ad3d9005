"""Dead letters as a file through the console: whole, without the SDK key, and imported byte for byte."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest

from tools.command_line import run_command
from tools.installation import KEY
from tools.queue_states import HOLDS_SOMETHING, Queues, find_dead
from tools.visiting import Browser, document, header
from vwo_celery.console.actions import filing
from vwo_celery.operating import operations
from vwo_celery.operating.batches.dead_files import BadLine, read_line, restored
from vwo_celery.operating.batches.finding import events_of
from vwo_celery.operating.operations import Imported
from vwo_celery.operating.past.audit import Actor, changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "*:arrived")

ANA = Actor("ana", "cli", "ops1")


def dead(queues: Queues) -> tuple[str, list[bytes]]:
    """A queue with a dead letter of three events, two of which hold the key, and its events."""
    queue = queues.add(events_per_request=3)
    events = [{"sdk": KEY, "again": f"<{KEY}>"}, {"n": "SDK-key-0"}, {"é": KEY}]
    assert all(map(queue.enqueue, events))
    queues.kill(queue, "HTTP 413")
    return queue.name, held(queues)


def held(queues: Queues) -> list[bytes]:
    """The events of the only dead letter."""
    (each,) = find_dead(queues.fleet, queues.registered)
    return [*events_of(queues.fleet, each, 10)]


def imported(queues: Queues, file: bytes, **options: Any) -> Imported:
    """What an import of a file does."""
    return operations.import_dead(
        queues.fleet, ANA, queues.registered, io.BytesIO(file), most_dead_events=100, **options
    )


def test_an_exported_file_brings_back_each_byte(queues: Queues) -> None:
    """A file holds all that matches, and no key; imported, events are what they were, each once."""
    name, events = dead(queues)
    queues.add(2)  # which has none
    browser = Browser(queues.settings, "operator")

    answer = browser.submit("do/export")
    (exported,) = changes(queues.fleet)
    page = browser.get("audit").body.decode()
    line = run_command(["--redis-url", queues.settings.redis_url or "", "audit"]).stdout
    queues.client.flushdb()
    queues.add(events_per_request=3)
    result = imported(queues, answer.body)

    assert answer.status == 200
    assert header(answer, "content-type") == "application/jsonl"
    assert str(header(answer, "content-disposition")).startswith(
        'attachment; filename="dead-letters-'
    )
    assert KEY.encode() not in answer.body
    assert (result.imported.events, result.refused) == (3, ())
    assert held(queues) == events
    assert (exported.command, exported.note) == ("dead export", "3 events written")
    assert exported.queues == (name,)
    assert 'data-name="done">-</td>' in page
    assert "0 events" not in line
    assert "3 events written" in line


def test_a_file_for_another_key_is_not_imported(queues: Queues) -> None:
    """A mark stands for one key: with another, or where somebody edited the line, nothing comes in."""
    dead(queues)
    text = Browser(queues.settings).post("api/v1/export", {}).body
    edited = text.replace(b"<", b"(")

    for line, key in ((text, "f" * 32), (edited, KEY)):
        with pytest.raises(BadLine, match="another SDK key"):
            restored(read_line(line), key)
    assert "the digest is another one" in imported(queues, edited).refused[0].why
    assert json.loads(text)["version"] == 2


def test_a_file_takes_the_rights_to_peek_and_to_operate(queues: Queues) -> None:
    """Who may not see events gets no file of them; nobody does where values are masked."""
    dead(queues)
    masks = msgspec.structs.replace(queues.settings, console_mask=("sdk",))

    for browser, offered in (
        (Browser(queues.settings, "viewer"), False), (Browser(queues.settings, "peek"), False),
        (Browser(masks, "purge"), False), (Browser(queues.settings, "operator"), True),
    ):  # fmt: skip
        assert ("ask/export" in browser.get("dead").body.decode()) == offered
        assert (browser.get("ask/export").status == 200) == offered
        assert (browser.post("api/v1/export", {}).status == 200) == offered


def test_what_is_too_much_for_one_file_is_refused_whole(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file holds a part of what was asked for: too much, and nothing, are told instead."""
    name, _ = dead(queues)
    monkeypatch.setattr(filing, "MOST_BYTES", 10)
    browser = Browser(queues.settings)

    much = browser.post("api/v1/export", {"filter": f"queue:{name}"})
    nothing = browser.post("api/v1/export", {"filter": "reason:none"})

    assert (much.status, nothing.status) == (409, 409)
    assert "nothing was exported" in document(much)["error"]
    assert "vwo-celery dead export" in document(much)["remedy"]
    assert changes(queues.fleet) == []


def test_what_an_export_holds_is_told_before(queues: Queues) -> None:
    """The page before it says how much, how it comes back, and that the events are as they were."""
    dead(queues)

    asked = Browser(queues.settings).get("ask/export").body.decode()

    assert "Export 3 events in 1 batch?" in asked
    assert "vwo-celery dead import FILE brings them back" in asked
    assert "In place of the SDK key" in asked


def test_no_file_misses_what_somebody_counts_on(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where events are gone, or all is purged meanwhile, there is no file, and the audit says why."""
    name, _ = dead(queues)
    (each,) = find_dead(queues.fleet, queues.registered)
    shard = queues.fleet.shard(name, each.shard)
    browser, found = Browser(queues.settings), filing.batches_of

    def purged_meanwhile(*args: Any) -> Any:
        batches = found(*args)
        shard.purge(each.batch)
        return batches

    queues.client.ltrim(shard.keys.batch(each.batch), 1, -1)
    gone = browser.post("api/v1/export", {})
    monkeypatch.setattr(filing, "batches_of", purged_meanwhile)
    purged = browser.post("api/v1/export", {})

    assert (gone.status, purged.status) == (409, 409)
    assert "events of 1 batch are gone from Redis" in document(gone)["error"]
    assert "no dead letter matches any more" in document(purged)["error"]
    assert [change.result for change in changes(queues.fleet)] == ["failed", "failed"]
