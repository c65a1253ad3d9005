"""A change through Django: what it demands of a request, what it does, and who does bulk work."""

from __future__ import annotations

import pytest
import redis as redis_py
from django.test import override_settings

from tools.django_project import LogEntry
from tools.django_visitors import ADMIN, MOUNTED, person, send_document, submit, text
from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, document
from vwo_celery.operating.past.audit import changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)
#: What the audit tells of a change besides who made it, when, and how long it took.
_NO_ACTORS = ("command", "queues", "filter", "reason", "matched", "done", "unit", "result", "error")


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("action", ["flush", "pause", "resume", "retry"])
def test_a_change_by_the_api_is_the_consoles(queues: Queues, place: str, action: str) -> None:
    """A program that is logged in gets of Django the console's document, and leaves the same record."""
    asking, browser, documents = person("view", "operate"), Browser(queues.settings), []
    records = []
    for ask in (
        lambda path, order: document(browser.post(path, order)),
        lambda path, order: send_document(asking, place, path, order).json(),
    ):
        queues.client.flushdb()
        queue = queues.add()
        queues.fill(queue, 5)
        if action == "resume":
            queues.shard(queue).pause("lunch", by="operator")
        if action == "retry":
            queues.release(queue, "HTTP 503")

        documents.append(ask(f"api/v1/{action}", {"queues": [queue.name]}))

        (change,) = changes(queues.fleet)
        records.append({name: getattr(change, name) for name in _NO_ACTORS})
        assert change.door == "api"
    assert documents[0] == documents[1]
    assert records[0] == records[1]


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
def test_a_change_needs_djangos_token(queues: Queues, place: str) -> None:
    """A form without the visitor's token, as another site would send it, gets 403 and changes nothing."""
    queue, asking = queues.add(), person(superuser=True)

    answer = asking.post(f"{place}do/pause", {"queues": queue.name})

    assert answer.status_code == 403
    assert changes(queues.fleet) == []


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("path", ["do/redrive", "api/v1/redrive"])
def test_a_form_with_files_changes_nothing(queues: Queues, place: str, path: str) -> None:
    """A body that Django has read as files, to find its token, is refused, and means nothing."""
    queue, asking = queues.add(), person(superuser=True)
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    asking.cookies["csrftoken"] = "t" * 32

    answer = asking.post(place + path, {"csrfmiddlewaretoken": "t" * 32, "batches": "1"})

    assert answer.status_code == 400
    assert changes(queues.fleet) == []


@pytest.mark.declared_keys("shop", "_kombu.*")
def test_bulk_work_goes_to_the_projects_workers(
    queues: Queues, redis: redis_py.Redis, shop: str
) -> None:
    """A redrive is ordered through the app of VWO_CELERY_APP, and the admin's history has its filter."""
    queue, asking = queues.add(), person("view", "operate")
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    LogEntry.objects.all().delete()

    with override_settings(VWO_CELERY_APP=shop):
        answer = submit(asking, f"{ADMIN}do/redrive", filter=f"queue:{queue.name}", batches=1)

    assert answer.status_code == 303, text(answer)
    assert redis.llen("shop") == 1
    (entry,) = LogEntry.objects.all()
    assert entry.change_message.startswith(
        f"redrive; filter: queue:{queue.name}; batches: 1; job: "
    )
