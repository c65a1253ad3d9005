"""The doctor's view of Celery's broker: real brokers, real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.processes import Process
from tools.redis_groups import serve_all_slots
from tools.waiting import wait_until
from vwo_celery.celery.broker.facts import look_at_broker
from vwo_celery.operating.doctor.broker import NO_APP, NO_BROKER
from vwo_celery.settings import Settings
from vwo_celery.testing import RedisServer

REPOSITORY = Path(__file__).parents[3]
STRANGER = """
from celery import Celery
app = Celery("stranger", broker={url!r})
app.conf.broker_transport_options = {{"global_keyprefix": {prefix!r}}}
app.conf.task_default_queue = {queue!r}
"""
#: A worker whose release lets the project's settings reach our tasks.
UNGUARDED = """
app.conf.task_time_limit = 3
app.conf.task_default_rate_limit = "10/s"
app.conf.accept_content = ["json", "yaml"]
@app.task(name="vwo_celery.deliver", serializer="yaml")
def deliver(): ...
"""
pytestmark = pytest.mark.declared_keys("_kombu.*", "*:broker:*", "watched", "unacked*")


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[Any]:
    """Start Celery workers of an app; each is ready when the function returns."""
    started: list[Process] = []

    def start_worker(app: str, folder: Path = REPOSITORY) -> Process:
        worker = Process(
            "python", "-m", "celery", "-A", app, "worker", "--pool=solo", "--without-mingle",
            "--without-gossip", "--loglevel=INFO", f"--hostname={app}@here",
            folder=tmp_path, name=app, cwd=folder, env={"VWO_CELERY_REDIS_URL": redis_url},
        )  # fmt: skip
        started.append(worker)
        worker.start()
        worker.wait_for_log("ready.")
        return worker

    yield start_worker
    for worker in reversed(started):
        worker.stop()


def test_a_broker_without_workers(redis_url: str) -> None:
    """Without workers the broker answers and has no consumer of the queue, Celery's default or the
    configured one.
    """
    facts = look_at_broker(Settings(redis_url=redis_url))
    named = look_at_broker(Settings(redis_url=redis_url, celery_queue="events"))

    assert (facts.error, facts.queue, facts.workers) == ("", "celery", ())
    assert named.queue == "events"


def test_our_deployed_worker_is_found(redis_url: str, start: Any) -> None:
    """A deployed worker with its own key prefix and queue is found, by settings alone or by its app."""
    start("workers.app")

    guessed = look_at_broker(Settings(redis_url=redis_url))
    other_queue = look_at_broker(Settings(redis_url=redis_url, celery_queue="other"))

    assert guessed.queue == "vwo_celery"
    assert guessed.consumers == guessed.workers == ("workers.app@here",)
    assert guessed.strangers == ()
    assert other_queue.consumers == ()
    assert other_queue.workers == ("workers.app@here",)


def test_a_worker_that_does_not_know_our_tasks_is_found(
    redis_url: str, start: Any, tmp_path: Path
) -> None:
    """A worker on our queue that does not know our tasks is found: it would discard them."""
    settings = Settings(redis_url=redis_url)
    text = STRANGER.format(url=redis_url, prefix="vwo:broker:", queue="vwo_celery")
    (tmp_path / "stranger.py").write_text(text)
    start("stranger", tmp_path)
    start("workers.app")

    facts = wait_until(
        lambda: (seen := look_at_broker(settings)).strangers and seen, what="the stranger"
    )

    assert facts.queue == "vwo_celery"
    assert facts.consumers == ("stranger@here", "workers.app@here")
    assert facts.strangers == ("stranger@here",)


def test_settings_that_harm_our_tasks_are_found(redis_url: str, start: Any, tmp_path: Path) -> None:
    """A worker that cuts our tasks off in a POST, or does not accept their messages, is found."""
    settings = Settings(redis_url=redis_url)
    text = STRANGER.format(url=redis_url, prefix="vwo:broker:", queue="vwo_celery")
    (tmp_path / "unguarded.py").write_text(text + UNGUARDED)
    start("workers.app")
    alone = look_at_broker(settings)
    start("unguarded", tmp_path)

    facts = wait_until(
        lambda: len((seen := look_at_broker(settings)).consumers) == 2 and seen, what="both"
    )

    assert (alone.hasty, alone.refusing) == ({}, ())
    assert (facts.hasty, facts.refusing) == ({"unguarded@here": 3.0}, ("workers.app@here",))
    assert facts.strangers == ()


@pytest.mark.parametrize(
    ("lines", "queue"),
    [
        ('app.conf.task_routes = {"vwo_celery.*": {"queue": "routed"}}', "routed"),
        (
            'app.conf.task_annotations = {"*": {"rate_limit": "10/m", "routing_key": "shop"}}',
            "shop",
        ),
    ],
    ids=["routes", "annotations"],
)
def test_what_a_project_sets_raises_no_false_alarm(
    redis_url: str, start: Any, tmp_path: Path, lines: str, queue: str
) -> None:
    """A queue named by task_routes, a rate limit, a routing key: workers that consume are found."""
    text = STRANGER.format(url=redis_url, prefix="", queue="shop")
    setting_up = f"import vwo_celery\nvwo_celery.setup(app)\n{lines}\n"
    setting_up += f"from kombu import Queue\napp.conf.task_queues = [Queue({queue!r})]\n"
    (tmp_path / "project.py").write_text(text + setting_up)
    start("project", tmp_path)

    facts = look_at_broker(Settings(redis_url=redis_url))

    assert (facts.error, facts.queue) == ("", queue)
    assert facts.consumers == ("project@here",)
    assert (facts.strangers, facts.hasty, facts.refusing) == ((), {}, ())


def test_a_broker_behind_a_socket_is_asked(tmp_path: Path) -> None:
    """A broker that is a socket, `unix://`, is asked as others are, also by a user without INFO."""
    path = tmp_path / "redis.sock"
    with RedisServer(arguments=("--unixsocket", str(path))) as server:
        with redis_py.Redis.from_url(server.url) as client:
            rules = ("on", ">pw", "~*", "&*", "+@all", "-@dangerous", "+keys")
            client.execute_command("ACL", "SETUSER", "shop", *rules)
        plain = look_at_broker(Settings(redis_url=f"unix://{path}?db=0"))
        denied = look_at_broker(Settings(redis_url=server.url.replace("//", "//shop:pw@")))

    assert (plain.error, denied.error) == ("", "")


def test_an_app_with_its_own_ways_is_asked_by_name(
    redis_url: str, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--app` finds the workers of an app that sets broker and key prefix itself."""
    text = STRANGER.format(url=redis_url, prefix="shop:broker:", queue="shop")
    (tmp_path / "shop_of_their_own.py").write_text(text)
    start("shop_of_their_own", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    settings = Settings(redis_url="redis://127.0.0.1:1/0", celery_queue="shop")

    facts = look_at_broker(settings, "shop_of_their_own")

    assert (facts.error, facts.workers) == ("", ("shop_of_their_own@here",))
    assert facts.strangers == facts.consumers == facts.workers


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:sekrit@127.0.0.1:1/0", "127.0.0.1:1"),
        ("amqp://guest:sekrit@127.0.0.1:1//", "refused"),
        ("redis+sentinel://:sekrit@127.0.0.1:1/mymaster", "no transport 'redis+sentinel'"),
        ("sqs://key:sekrit@", ""),
    ],
)
def test_a_broker_out_of_reach_is_a_fact_and_shows_no_password(url: str, words: str) -> None:
    """An unreachable broker is a fact, not an exception; the text shows no password."""
    facts = look_at_broker(Settings(broker_url=url))

    assert bool(facts.error) == bool(words)
    assert words in facts.error
    assert facts.error or "--app" in facts.unchecked
    assert "sekrit" not in str(facts)


def test_an_app_that_cannot_be_imported_is_a_fact(redis_url: str) -> None:
    """An app that cannot be imported, as after a mistyped --app, does not end the doctor."""
    facts = look_at_broker(Settings(redis_url=redis_url), "no_such_app")

    assert facts.error.startswith("there is no Celery app 'no_such_app': ModuleNotFoundError")
    assert facts.trouble == NO_APP


def test_that_no_broker_is_named_is_a_fact() -> None:
    """Where Celery cannot use our Redis and no broker is named, none was found away."""
    facts = look_at_broker(Settings(redis_url="redis+sentinel://:sekrit@127.0.0.1:1/mymaster"))

    assert facts.error.startswith("broker_url must be set")
    assert (facts.trouble, facts.cluster) == (NO_BROKER, False)


def test_a_cluster_cannot_be_the_broker() -> None:
    """A cluster cannot be the broker; it is recognised by its URL or by the server's own answer."""
    by_url = look_at_broker(Settings(redis_url="redis+cluster://127.0.0.1:1"))
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server:
        serve_all_slots(server)
        by_server = look_at_broker(Settings(redis_url=server.url))

    assert by_url.cluster
    assert by_server.cluster
