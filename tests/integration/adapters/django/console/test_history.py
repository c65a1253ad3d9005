"""Each change through Django is in the admin's history, where it names no visitor and costs no change."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import pytest
from django.db import DatabaseError
from django.test import override_settings

from tools.django_project import CHANGE, LogEntry
from tools.django_visitors import ADMIN, MOUNTED, person, submit, text
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.operating.past.audit import changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
def test_a_change_is_made_and_recorded(queues: Queues, place: str) -> None:
    """A form changes the queue; audit and admin's history say who did what, and through which door."""
    queue, asking = queues.add(), person("view", "operate")
    LogEntry.objects.all().delete()

    answer = submit(asking, f"{place}do/pause", queues=queue.name, reason="a deploy")

    assert answer.status_code == 303, text(answer)
    told = asking.get(urljoin(f"{place}do/pause", answer["Location"]))
    assert (told.status_code, "Paused 1 queue" in text(told)) == (200, True)
    assert queues.view(queue).paused
    (change,) = changes(queues.fleet)
    (entry,) = LogEntry.objects.all()
    assert (change.who, change.door, change.reason) == (entry.user.username, "django", "a deploy")
    assert (entry.object_id, entry.action_flag) == (queue.name, CHANGE)
    assert entry.change_message == (
        f"pause; queues: {queue.name}; reason: a deploy; paused: {queue.name}"
    )


@pytest.mark.declared_keys("shop", "_kombu.*")
def test_the_history_of_the_admin_names_no_visitor(queues: Queues, shop: str) -> None:
    """Whoever sees numbers alone sees the history: an entry has the filter without visitors' ids."""
    queue, asking = queues.add(), person("view", "peek", "operate")
    assert queue.enqueue_many([{"d": {"visId": "bob", "event": {"name": "n"}}}] * 5)
    queues.kill(queue, "HTTP 413")
    LogEntry.objects.all().delete()

    with override_settings(VWO_CELERY_APP=shop):
        answer = submit(asking, f"{ADMIN}do/redrive", filter="visitor:bob", batches=1)

    assert answer.status_code == 303, text(answer)
    (entry,) = LogEntry.objects.all()
    assert entry.change_message.startswith("redrive; filter: visitor:…; batches: 1; job: ")
    assert "bob" not in text(person("view").get(f"{ADMIN}history/"))


def test_the_history_of_the_admin(queues: Queues) -> None:
    """The admin shows the changes of one queue, of all, and recent ones with links to the queues."""
    one, other, asking = queues.add(1), queues.add(2), person("view", "operate")
    LogEntry.objects.all().delete()
    submit(asking, f"{ADMIN}do/pause", queues=[one.name, other.name], reason="both")
    submit(asking, f"{ADMIN}do/resume", queues=one.name)
    (entry, *_) = LogEntry.objects.filter(object_id=one.name)

    of_one = text(asking.get(f"{ADMIN}{one.name}/history/"))
    of_other = text(asking.get(f"{ADMIN}{other.name}/history/"))
    of_all = text(asking.get(f"{ADMIN}history/"))
    index = text(asking.get("/admin/"))

    assert [of_one.count(word) for word in ("pause;", "resume;")] == [1, 1]
    assert [of_other.count(word) for word in ("pause;", "resume;")] == [1, 0]
    assert [of_all.count(word) for word in ("pause;", "resume;")] == [2, 1]
    assert of_all.index("resume;") < of_all.index("pause;")
    assert of_all.count(f">{one.name}</a>") == 2
    assert entry.get_admin_url() in index
    assert asking.get(entry.get_admin_url()).url == f"../../queues/{one.name}"


def test_a_change_stays_made_where_its_entry_cannot_be_stored(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that takes no entry makes no failure of a change that Redis has taken."""
    queue, asking = queues.add(), person("view", "operate")

    def refuse(*_: Any, **__: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(type(LogEntry.objects), "bulk_create", refuse)
    answer = submit(asking, f"{ADMIN}do/pause", queues=queue.name)

    assert answer.status_code == 303
    assert queues.view(queue).paused
    assert "not in the admin's history" in caplog.text
