"""Bulk work that a worker does: ordered, shown, stopped; whatever is lost or killed, no event is."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from celery import Celery

from tools.command_line import run_command
from tools.processes import Process
from tools.queue_states import HOLDS_SOMETHING, OPERATOR, Queues
from tools.waiting import wait_until
from vwo_celery import Settings, setup
from vwo_celery.errors import QueueUnknown
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.looks.knowing import wrong_job_keys
from vwo_celery.operating.operations import Amount, Done, Pace, count_dead, jobs
from vwo_celery.operating.past.audit import changes, find_change
from vwo_celery.queue.records import jobs as store
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*", "workers")
#: Events a second that nobody lives to see.
NEVER = 0.001


def kill(queues: Queues, batches: int) -> None:
    """A paused queue with so many dead batches of one event."""
    queue = queues.add(events_per_request=1)
    queues.fill(queue, batches)
    for _ in range(batches):
        queues.kill(queue, "HTTP 413")
    operations.pause(queues.fleet, OPERATOR, queues.registered)


def order(
    queues: Queues, *, operation: str = "redrive", pace: Pace | None = None, wanted: str = ""
) -> str:
    """Order a job on all dead letters."""
    parsed = Filter.parse(wanted)
    found = find_dead(queues.fleet, queues.registered, Filter())
    counted = count_dead(found, queues.fleet.now_ms())
    return jobs.order_job(
        queues.fleet, OPERATOR, operation, counted, filter=parsed, scan_limit=10,
        pace=pace or Pace(),
    )  # fmt: skip


def run(queues: Queues, job: str, *, stopping: bool = False) -> Done | None:
    """Do a job, as a worker does."""
    return jobs.run_job(queues.fleet, job, "worker:1", lambda: stopping)


def the_job(queues: Queues) -> jobs.Job:
    """The only job."""
    (found,) = jobs.list_jobs(queues.fleet)
    return found


def test_a_worker_does_what_was_ordered_and_stops_when_told(
    queues: Queues, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real worker: its job is seen at work, stopped between two batches, and ordered again."""
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    kill(queues, 3)
    worker = ("python", "-m", "celery", "-A", "vwo_celery.celery.app", "worker")
    redrive = ["dead", "redrive", "--background", "--json"]

    with Process(
        *worker, "--pool", "threads", "-c", "2", folder=tmp_path, name="worker"
    ) as process:
        first = json.loads(run_command([*redrive, "--rate", str(NEVER)]).stdout)["job"]
        wait_until(lambda: the_job(queues).events == 1, 30, what="the first batch")
        (running,) = json.loads(run_command(["jobs", "--json"]).stdout)
        stopped = run_command(["jobs", "--stop", first])
        wait_until(lambda: the_job(queues).state == "interrupted", what="the end")
        second = json.loads(run_command(redrive).stdout)
        wait_until(lambda: jobs.list_jobs(queues.fleet)[1].state == "ok", what="the second job")
        process.ask_to_end()
        process.wait()

    assert (running["job"], running["state"], running["operation"]) == (first, "running", "redrive")
    assert running["worker"]
    assert running["changed"] == {"batches": 1, "events": 1}
    assert running["counted"] == {"batches": 3, "events": 3}
    assert stopped.exit_code == 0
    assert second["counted"] == {"batches": 2, "events": 2}
    (view,) = queues.views()
    assert (view.ready, view.dead, view.ledger.balanced) == (3, 0, True)
    told = [(each.door, each.command, each.result, each.done) for each in changes(queues.fleet)]
    assert sorted(told[1:]) == sorted([
        ("cli", "dead redrive", "interrupted", 1), ("cli", "jobs stop", "ok", 0),
        ("cli", "dead redrive", "ok", 2),
    ])  # fmt: skip


def test_a_job_is_done_once(queues: Queues) -> None:
    """A message that comes twice, or after the job is gone, does nothing."""
    kill(queues, 2)
    job = order(queues)

    assert run(queues, job) == Done(Amount(2, 2))
    assert run(queues, job) is None
    assert run(queues, "gone") is None
    assert (the_job(queues).state, the_job(queues).events) == ("ok", 2)
    assert 0 < queues.client.pttl(queues.fleet.keys.job(job)) <= 3_600_000
    assert [each.job for each in jobs.list_jobs(queues.fleet)] == [job]


def test_what_is_given_up_no_worker_begins(queues: Queues, redis_url: str) -> None:
    """A worker that has looked at a job which is given up before it begins leaves it alone."""
    kill(queues, 2)
    job, late = order(queues), Queues(redis_url)
    begin = late.client.hsetnx

    def give_up_first(*words: Any) -> Any:
        assert jobs.give_up(queues.fleet, job, "no broker")
        return begin(*words)

    late.client.hsetnx = give_up_first

    assert run(late, job) is None
    assert (the_job(queues).state, the_job(queues).error) == ("failed", "no broker")
    assert sum(view.dead for view in queues.views()) == 2


def test_what_a_worker_has_begun_is_not_given_up(queues: Queues) -> None:
    """Whoever gives up is told that a worker does the job; one that is gone counts as given up."""
    kill(queues, 2)
    job = order(queues)

    assert run(queues, job) == Done(Amount(2, 2))
    assert not jobs.give_up(queues.fleet, job, "no broker")
    assert jobs.give_up(queues.fleet, "gone", "no broker")
    assert the_job(queues).state == "ok"


def test_of_a_worker_and_whoever_gives_up_one_is_first(queues: Queues, redis_url: str) -> None:
    """Two threads, each with a connection of its own, reach for a job: one gets it."""
    kill(queues, 1)
    other, begun, gone = Queues(redis_url), [], []
    for _ in range(20):
        job, both = order(queues), Barrier(2)

        def begin(job: str = job, both: Barrier = both) -> None:
            both.wait()
            begun.append(store.begin_job(other.fleet, job, "worker:1") is not None)

        worker = Thread(target=begin)
        worker.start()
        both.wait()
        gone.append(jobs.give_up(queues.fleet, job, "no broker"))
        worker.join()

    assert begun == [not each for each in gone]


def two_of_one_form(queues: Queues) -> list[str]:
    """Two jobs of one form, of which no worker was told yet, the older order first."""
    kill(queues, 2)
    counted = count_dead(
        find_dead(queues.fleet, queues.registered, Filter()), queues.fleet.now_ms()
    )
    two = [
        jobs.order_job(
            queues.fleet, OPERATOR, "redrive", counted, filter=Filter(), scan_limit=10, pace=Pace(),
        )
        for _ in range(2)
    ]  # fmt: skip
    assert sorted(two) == sorted(each.job for each in jobs.list_jobs(queues.fleet))
    return [each.job for each in jobs.list_jobs(queues.fleet)]


@pytest.mark.parametrize("older_first", [True, False])
def test_of_two_orders_of_one_form_the_older_stays(queues: Queues, *, older_first: bool) -> None:
    """Whoever looks first, one of the jobs is done, and the other says which one that is."""
    older, newer = two_of_one_form(queues)

    looks = [older, newer] if older_first else [newer, older]
    found = {job: jobs.give_way(queues.fleet, job) for job in looks}

    assert found == {older: "", newer: older}
    assert run(queues, newer) is None
    assert run(queues, older) == Done(Amount(2, 2))
    assert the_job(queues).job == older
    given_up = jobs.find_job(queues.fleet, newer)
    assert given_up is not None
    assert given_up.error == f"it was sent twice: job {older} does it"


def test_an_older_order_gives_way_to_one_that_is_begun(queues: Queues) -> None:
    """A job that a worker does is not ordered again by the older order that comes late."""
    older, newer = two_of_one_form(queues)
    store.begin_job(queues.fleet, newer, "worker:1")

    assert jobs.give_way(queues.fleet, older) == newer
    assert run(queues, older) is None


def test_a_job_changes_what_was_counted(queues: Queues) -> None:
    """What dies between the order and the work stays dead."""
    kill(queues, 2)
    job = order(queues, operation="purge")
    (queue,) = queues.registered
    keys = queues.fleet.shard(queue, 0).keys
    newest = queues.client.zrange(keys.dead, -1, -1)[0]
    queues.client.zadd(keys.dead, {newest: queues.fleet.now_ms() + 1_000})

    assert run(queues, job) == Done(Amount(1, 1))
    assert queues.client.zrange(keys.dead, 0, -1) == [newest]


def test_a_job_whose_worker_stops_is_interrupted(queues: Queues) -> None:
    """A worker that shuts down ends its job; the same order again does the rest."""
    kill(queues, 2)

    done = run(queues, order(queues), stopping=True)

    assert done == Done(Amount(), left=Amount(2, 2), stopped=True)
    assert the_job(queues).state == "interrupted"
    assert the_job(queues).error == "its worker was stopped; the same order again does the rest"


def test_a_job_that_fails_says_why(queues: Queues) -> None:
    """A queue that was forgotten meanwhile: the job has failed, and nothing is changed."""
    kill(queues, 1)
    job = order(queues, wanted="queue:gone")

    with pytest.raises(QueueUnknown):
        run(queues, job)

    assert the_job(queues).state == "failed"
    assert "no queue 'gone' is registered" in the_job(queues).error


def test_a_job_that_went_silent_is_shown_so(
    queues: Queues, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was killed, and a message that was lost: what is true, and what to do."""
    monkeypatch.setenv("COLUMNS", "250")
    kill(queues, 1)
    lost, killed = order(queues), order(queues)
    store.begin_job(queues.fleet, killed, "worker:1")
    ago = queues.fleet.now_ms() - 60_000
    for job in (lost, killed):
        queues.client.hset(queues.fleet.keys.job(job), "heard_ms", ago)

    shown = run_command(["--redis-url", redis_url, "jobs"]).stdout
    listed = json.loads(run_command(["--redis-url", redis_url, "jobs", "--json"]).stdout)

    assert {each["job"]: each["state"] for each in listed} == {lost: "waiting", killed: "silent"}
    assert f"{lost}: no worker has begun it; see: vwo-celery doctor" in shown
    assert (
        f"{killed}: its worker is gone, or stands still; the same order again does the rest"
        in shown
    )
    assert "0 of 1" in shown


def test_without_a_broker_nothing_is_ordered(
    queues: Queues, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that takes no message: the command says so, and the job never begins."""
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    monkeypatch.setenv("VWO_CELERY_BROKER_URL", f"redis://127.0.0.1:{free_port()}/0")
    kill(queues, 1)

    result = run_command(["dead", "purge", "--background", "--yes"])

    assert result.exit_code == 1
    assert "takes no task" in result.stderr
    assert "Nothing was changed" in result.stderr
    assert run(queues, the_job(queues).job) is None
    assert the_job(queues).state == "failed"
    (view,) = queues.views()
    assert view.dead == 1


def test_what_cannot_be_stopped_is_an_error(queues: Queues, redis_url: str) -> None:
    """A job that has ended, or that nobody knows; and single events are no job."""
    kill(queues, 1)
    job = order(queues)
    run(queues, job)
    words = ["--redis-url", redis_url]

    ended = run_command([*words, "jobs", "--stop", job])
    unknown = run_command([*words, "jobs", "--stop", "x"])
    single = run_command(
        [*words, "dead", "redrive", "--batch", "b", "--event", "1", "--background"]
    )
    no_app = run_command([*words, "dead", "redrive", "--background", "--app", "no_such_module"])

    assert (ended.exit_code, unknown.exit_code) == (1, 1)
    assert f"job '{job}' has ended: ok" in ended.stderr
    assert "there is no job 'x'" in unknown.stderr
    assert (single.exit_code, no_app.exit_code) == (2, 1)
    assert "there is no Celery app 'no_such_module'" in no_app.stderr


def test_a_job_may_last_for_days() -> None:
    """A project's time limits cut no job off; nor does the limit of our other tasks."""
    app: Any = Celery("project", broker="memory://", set_as_current=False)
    app.conf.update(task_time_limit=1, task_soft_time_limit=1, task_acks_late=True)
    setup(app, Settings())
    app.finalize()

    task = app.tasks["vwo_celery.operate"]
    assert task.soft_time_limit == 7 * 86_400
    assert task.time_limit > task.soft_time_limit
    assert (task.acks_late, task.rate_limit) == (False, None)


def test_a_job_that_has_waited_for_long_is_not_silent_when_it_begins(queues: Queues) -> None:
    """The beginning is a sign of life: the first batch may be found much later."""
    kill(queues, 1)
    job = order(queues)
    key = queues.fleet.keys.job(job)
    waited = json.loads(queues.client.hget(key, "order"))
    waited["ordered_ms"] -= 1_000 * int(2 * jobs.SILENT_SECONDS)
    queues.client.hset(key, "order", json.dumps(waited))

    store.begin_job(queues.fleet, job, "worker:1")

    assert the_job(queues).state == "running"


def test_a_job_that_cannot_be_read_hides_no_other(queues: Queues) -> None:
    """What another program made of a job costs that one alone."""
    kill(queues, 1)
    broken, sound = order(queues), order(queues)
    queues.client.hset(queues.fleet.keys.job(broken), "batches", "many")

    assert the_job(queues).job == sound

    key = queues.fleet.keys.job(broken)
    queues.client.delete(key)
    queues.client.set(key, "somebody's")
    assert the_job(queues).job == sound
    assert [str(each) for each in wrong_job_keys(queues.fleet)] == [
        f"{key} is a string and should be a hash"
    ]


def test_a_job_s_entry_names_the_queues_that_were_counted(queues: Queues) -> None:
    """A queue without dead letters is no part of the change."""
    kill(queues, 1)
    (counted,) = queues.registered
    queues.add(2)
    job = order(queues)

    run(queues, job)

    found = find_change(queues.fleet, job)
    assert found is not None
    assert found.queues == (counted,)
