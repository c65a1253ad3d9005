"""pytest's plugin: its fixtures in tests as users write them, and what it costs who does not use it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.user_tests import passed, run_tests
from vwo_celery.testing import RedisServer

_SHOP = """
import vwo_celery
from vwo_celery.event_kinds import Visitor, custom_event

destination = vwo_celery.Destination(account_id=888888, sdk_key="k" * 32, generation="fme")
queue = vwo_celery.connect(
    destination,
    batch_event_data={"events_per_request": 500},
    redis_url="redis://127.0.0.1:1/0",
    spool_dir="",
)


def buy(user):
    event = custom_event(
        destination, Visitor(user_id=user), "purchase", time_ms=1_700_000_000_000
    )
    return queue.enqueue(event)
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a user's files: shop.py, the tests, and pytest.ini; the folder."""

    def into(tests: str, ini: str = "", conftest: str = "") -> Path:
        (tmp_path / "shop.py").write_text(_SHOP, "utf-8")
        (tmp_path / "test_shop.py").write_text("import shop\n" + textwrap.dedent(tests), "utf-8")
        (tmp_path / "conftest.py").write_text(textwrap.dedent(conftest), "utf-8")
        (tmp_path / "pytest.ini").write_text("[pytest]\n" + textwrap.dedent(ini), "utf-8")
        return tmp_path

    return into


def test_the_fixtures_work_together(write):
    """Capture, stand-in and inline delivery, in tests that know nothing of Redis, worker or beat."""
    folder = write(
        """
        def test_captured(vwo_events):
            assert shop.buy("anna").where == "redis"
            assert vwo_events.one("purchase").is_of("anna")

        def test_each_test_has_its_own(vwo_events):
            assert not vwo_events

        def test_delivered(vwo_inline, vwo_collector):
            vwo_collector.fail(503)
            shop.buy("anna")
            assert not vwo_inline.deliver()
            assert vwo_inline.deliver()
            assert len(vwo_collector.events) == 1

        def test_without_fixtures_an_event_goes_where_it_would_in_production():
            assert shop.buy("anna").where == "dropped"
        """
    )

    assert passed(run_tests(folder)) == 4


def test_a_failure_is_clear(write):
    """A failed assertion tells what was captured instead, and shows no key."""
    folder = write(
        """
        def test_named(vwo_events):
            shop.buy("anna")
            assert vwo_events.named("refund")

        def test_one(vwo_events):
            vwo_events.one("refund")

        def test_delivered(vwo_inline, vwo_collector):
            vwo_collector.fail(503)
            shop.buy("anna")
            assert vwo_inline.deliver()
        """
    )

    ended = run_tests(folder)

    assert ended.returncode == 1
    assert "no event named 'refund'; captured: purchase of visitor" in ended.stdout
    assert "nothing was captured: is the client attached" in ended.stdout
    assert "1 event released (VWO answered 503" in ended.stdout
    assert "k" * 32 not in ended.stdout


def test_nothing_leaves_a_run_that_captures_always(write):
    """With `vwo_capture_always`, also what modules, and tests without fixtures, enqueue is captured."""
    folder = write(
        """
        at_import = shop.buy("import")

        def test_at_import():
            assert at_import.where == "redis"

        def test_without_fixture():
            assert shop.buy("anna").where == "redis"

        def test_with_fixture(vwo_events):
            shop.buy("anna")
            assert len(vwo_events) == 1

        def test_delivered(vwo_inline, vwo_collector):
            shop.buy("anna")
            assert vwo_inline.deliver()
            assert len(vwo_collector.events) == 1
        """,
        ini="vwo_capture_always = true",
    )

    assert passed(run_tests(folder)) == 4


def test_every_collector_has_the_same_address(write):
    """An SDK's client that lives for the whole run finds the stand-in of each test."""
    folder = write(
        """
        import urllib.request
        seen = set()

        def look(collector):
            seen.add(collector.url)
            urllib.request.urlopen(collector.url + "/health").close()
            assert not collector.batches

        def test_first(vwo_collector):
            look(vwo_collector)

        def test_second(vwo_collector):
            look(vwo_collector)
            assert len(seen) == 1
        """
    )

    assert passed(run_tests(folder)) == 2


def test_a_proxy_of_the_machine_is_not_asked(write):
    """Where HTTP goes through a proxy, deliveries to the stand-in do not; other exceptions stay."""
    folder = write(
        """
        import os

        def test_delivered(vwo_inline, vwo_collector):
            shop.buy("anna")
            assert vwo_inline.deliver()
            assert "internal.example" in os.environ["NO_PROXY"]
        """
    )
    proxy = "http://127.0.0.1:1"
    env = {"HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "internal.example"}

    assert passed(run_tests(folder, env=env)) == 1


@pytest.mark.declared_keys
def test_a_redis_of_one_s_own_can_be_named(write, redis_url, redis):
    """With `vwo_test_redis_url` no server is started, and the one that is named is left as it was."""
    folder = write(
        """
        def test_delivered(vwo_inline, vwo_redis_url):
            shop.buy("anna")
            assert vwo_inline.deliver()
            shop.buy("ben")
        """,
        ini=f"vwo_test_redis_url = {redis_url}",
    )
    env = {"VWO_CELERY_REDIS_SERVER": "/nowhere", "PATH": "/nowhere"}

    assert passed(run_tests(folder, env=env)) == 1
    assert redis.keys("*") == []


def test_a_missing_redis_is_told_with_its_remedies(write):
    """Without any server, inline delivery fails, and says how to get one; captures go on."""
    folder = write(
        """
        def test_delivered(vwo_inline):
            pass

        def test_captured(vwo_events):
            shop.buy("anna")
            assert vwo_events.one()
        """,
        conftest="""
        from vwo_celery.testing import redis_binary
        redis_binary._candidates = lambda: iter(())
        """,
    )

    ended = run_tests(folder)

    assert ended.returncode == 1
    assert "1 passed, 1 error" in ended.stdout
    assert "no Redis server 6.2 or newer" in ended.stdout
    assert "vwo_test_redis_url = redis://" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_the_redis_of_a_run_ends_with_it(write):
    """One server serves all tests of a run, and none of it is left."""
    folder = write(
        """
        import os

        def test_first(vwo_redis_url):
            os.environ["SEEN"] = vwo_redis_url

        def test_second(vwo_redis_url):
            assert os.environ["SEEN"] == vwo_redis_url
            print("URL", vwo_redis_url)
        """
    )

    ended = run_tests(folder, "-s")

    assert passed(ended) == 2
    port = int(ended.stdout.partition("URL ")[2].split("/")[2].rpartition(":")[2])
    with RedisServer(port=port):  # the port is free
        pass


def test_who_does_not_use_it_pays_nothing(write):
    """A run of other tests imports neither vwo_celery nor anything that it needs, on account of it."""
    folder = write("")
    (folder / "test_shop.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    heavy = ('vwo_celery', 'redis', 'msgspec', 'celery', 'requests', 'click')\n"
        "    assert not [name for name in heavy if name in sys.modules]\n",
        "utf-8",
    )

    assert passed(run_tests(folder)) == 1


def test_a_capture_does_not_load_what_delivers(write):
    """`vwo_events` loads neither Celery nor an HTTP library into the process of the tests."""
    folder = write(
        """
        import sys

        def test_light(vwo_events):
            shop.buy("anna")
            assert not {"celery", "kombu", "requests", "django"} & set(sys.modules)
        """
    )

    assert passed(run_tests(folder)) == 1


def test_the_helpers_need_no_pytest():
    """`vwo_celery.testing`, inline delivery included, can be imported where pytest is not installed."""
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from vwo_celery.testing import *\n"
        "print(capture_events.__name__, inline_delivery.__name__, Deliveries.__name__)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.split() == ["capture_events", "inline_delivery", "Deliveries"]


def test_the_fixtures_describe_themselves(write):
    """`pytest --fixtures` and `pytest --help` say what each fixture and option is for."""
    folder = write("")

    fixtures = run_tests(folder, "--fixtures").stdout
    options = " ".join(run_tests(folder, "--help").stdout.split())

    for name in ("vwo_events", "vwo_collector", "vwo_inline", "vwo_redis_url"):
        assert f"\n{name}" in fixtures
    assert "vwo_capture_always (bool): true: no event leaves this process" in options
    assert "vwo_test_redis_url (string): the Redis of vwo_inline" in options
