"""Names, reasons and events that would run in a browser, or deceive: pages show them as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tools.browsers import HEADING, Said
from tools.console_doors import Door
from tools.hostile import unsafe_letters
from tools.queue_states import OPERATOR
from tools.troubled_fleet import TroubledFleet
from vwo_celery.operating.operations import pause

#: Runs in a page that does not escape it, in text, in an attribute, in a script and in an address.
RUNS = (
    "<script>window.harmed=1</script><img src=x onerror=window.harmed=1>"
    "\"'><svg onload=window.harmed=1>${window.harmed=1}{{7*7}}</title></textarea>javascript:harm"
)
#: Turns the direction of the text around, hides letters, ends strings.
DECEIVES = "\u202egnp.exe\u2066\u200b\x00\x1b[2J\r\nforged line"
LONG = "w" * 5_000
HOSTILE = f"{RUNS} {DECEIVES} {LONG}"


@pytest.fixture
def hostile(fleet: TroubledFleet) -> Iterator[str]:
    """Name of a queue whose name, pause and events are hostile; it is gone after the test."""
    sound = fleet.new_dead(1)
    name = f"fme-{RUNS}"
    keys, client = fleet.fleet.keys, fleet.fleet.client
    line = json.loads(client.hget(keys.queues, sound))
    client.hset(keys.queues, name, json.dumps(line))
    shard = fleet.fleet.shard(sound, 0)
    (batch,) = client.zrange(shard.keys.dead, 0, -1)
    event = json.dumps({"d": {"event": {"name": HOSTILE}, "visId": HOSTILE}}, ensure_ascii=False)
    client.lset(shard.keys.batch(batch.decode()), -1, event.encode("utf-8", "replace"))
    pause(fleet.fleet, OPERATOR, {sound: fleet.registered[sound]}, HOSTILE)
    yield sound
    client.hdel(keys.queues, name)


@pytest.mark.parametrize("door", ["bare", "django"], indirect=True)
def test_hostile_text_is_shown_and_does_nothing(
    page: Page, said: Said, door: Door, hostile: str
) -> None:
    """No page runs it, obeys it, or becomes wider by it; all of them are shown."""
    pages = (
        "",
        "dead",
        f"queue?name={hostile}",
        "audit",
        f"?q={quote(RUNS)}",
        f"dead?filter={quote(RUNS)}",
    )
    for path in pages:
        answer = page.goto(f"{door.url}{path}")
        assert answer is not None
        assert answer.status in (200, 400), f"{path} answers {answer.status}"
        expect(page.locator(HEADING)).to_be_visible()
        text = page.locator("body").inner_text().replace("\n", "").replace("\t", "")
        assert not unsafe_letters(text.replace("\xa0", "")), f"{path} shows unsafe letters"
        assert page.evaluate("() => window.harmed") is None, f"{path} ran it"
        assert "49" not in page.title()

    assert [each for each in said.complaints if "400" not in each] == []
