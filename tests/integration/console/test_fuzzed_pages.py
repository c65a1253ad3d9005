"""Names, reasons and events of any letters: every page shows them as text, and as nothing else."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.hostile import HOSTILE
from tools.markup import FORGERY, Markup
from tools.queue_states import OPERATOR, Queues
from tools.visiting import Browser
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.pages import PAGES
from vwo_celery.operating.operations import pause

#: Statuses of pages that are ours: shown, refused as wrong, not there.
SHOWN = (200, 400, 404, 409)
pytestmark = pytest.mark.declared_keys("*")

#: As they come from outside: half an event's name, whole lines, a very long word.
TEXTS = st.one_of(
    st.text(max_size=40).map(lambda text: f"{FORGERY}{text}"),
    st.text(max_size=40).map(lambda text: f"{text}{FORGERY}"),
    st.sampled_from([HOSTILE, FORGERY * 50, "w" * 50_000, "\x00", "\u202e" + FORGERY]),
)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def fill(queues: Queues, text: str) -> str:
    """Put *text* into names, a pause, why batches failed, and events; the name of the sound queue."""
    queue = queues.add(1)
    keys = queues.fleet.keys
    events = [
        _utf8(json.dumps({"d": {"event": {"name": text}, "visId": text}}, ensure_ascii=False))
    ]
    assert all(queue.enqueue_many([*events, {}, {}, {}, {}] * 3))
    queues.kill(queue, text)
    queues.release(queue, text)
    queues.client.hset(
        keys.queues, _utf8(f"fme-9-{text}"), queues.client.hget(keys.queues, queue.name)
    )
    queues.client.hset(keys.queues, _utf8(f"broken-{text}"), _utf8(text))
    pause(queues.fleet, OPERATOR, {queue.name: queues.registered[queue.name]}, text)
    return queue.name


def addresses(name: str, text: str) -> list[str]:
    """An address of every page, with a sound queue and with the text wherever a query takes one."""
    given = quote(text[:2_000], safe="", errors="replace")
    paths = [each.path.replace("{queue}", name) for each in PAGES]
    queries = (
        f"?name={name}&queue={name}&queues={name}", f"?name={given}&q={given}&filter={given}",
        f"?queues={given}&span={given}&batch={given}&id={given}&state={given}&page={given}",
    )  # fmt: skip
    return [path + query for path in paths for query in queries]


def test_the_search_for_markup_finds_what_was_not_escaped() -> None:
    """Text is found if it breaks out of a page's text, of an attribute, of a comment, of the title."""
    pages = ("<p>{}</p>", '<a title="{}">', "<a title='{}'>", "<!-- {} -->", "<title>{}</title>")

    assert all(Markup(page.format(FORGERY).encode()).forged for page in pages)
    assert Markup(b'<p onclick="x()"><script>x()</script><a href=" javascript:x()">').inline
    assert Markup("<p>\u202e</p>".encode()).unsafe


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_no_text_from_outside_becomes_markup(queues: Queues, text: str) -> None:
    """Whatever a name, a reason, an answer, an event or an address holds, pages have only their tags."""
    queues.client.flushall()
    name, browser = fill(queues, text), Browser(queues.settings)

    for address in addresses(name, text):
        answer = browser.get(address)
        page = Markup(answer.body)
        assert answer.status in SHOWN, f"{address[:80]}: {answer.status}"
        assert (page.forged, page.inline, page.unsafe) == ([], [], ""), address[:80]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_no_text_of_an_order_becomes_markup(queues: Queues, text: str) -> None:
    """The answer to a form that holds anything is a page of ours, whether it was done or refused."""
    queues.client.flushall()
    name, browser = fill(queues, text), Browser(queues.settings)

    for action in ACTIONS:
        for queue in (name, text[:2_000]):
            answer = browser.submit(
                f"do/{action}",
                queues=_utf8(queue),
                reason=_utf8(text[:2_000]),
                filter=_utf8(text[:2_000]),
            )
            page = Markup(answer.body)
            assert answer.status in SHOWN, f"{action}: {answer.status}"
            assert (page.forged, page.inline, page.unsafe) == ([], [], ""), action
