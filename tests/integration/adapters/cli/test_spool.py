"""spool as typed: what waits on this host is shown and drained."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vwo_celery
from tools.command_line import Run, document, flat, run_command
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_the_spool_is_shown_and_drained(bare: Run) -> None:
    """spool shows the events that wait on this host, with and without Redis; drain then empties it."""
    with RedisServer(appendonly=True) as server:
        queue = _spooling_queue(server)
        at = ("--redis-url", server.url)
        shown, told = bare("spool", "status", *at), document(bare("spool", "status", "--json", *at))
        away = bare("spool", "drain", "--timeout", "0.1", *at)
        server.start()
        drained = bare("spool", "drain", "--json", *at)
        after = bare("spool", "status", *at)
        stored = Queues(server.url).view(queue)

    assert shown.exit_code == 0
    assert f"{queue.name} 3 " in flat(shown.stdout)
    assert (told["events"], told["queues"][0]["queue"]) == (3, queue.name)
    assert 0 < told["used_bytes"] <= told["max_bytes"]
    assert away.exit_code == 1
    assert "3 left" in away.stdout
    assert "nothing listens at the address of Redis" in flat(away.stdout)
    assert drained.exit_code == 0
    assert document(drained)["left"] == 0
    assert stored.ready == 3
    assert (after.exit_code, "it holds nothing" in after.stdout) == (0, True)


def test_without_a_spool_there_is_nothing_to_drain(
    bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty spool_dir both commands say that there is no spool; an unused spool is fine."""
    for word in ("status", "drain"):
        fresh = bare("spool", word)
        with monkeypatch.context() as patch:
            patch.setenv("VWO_CELERY_SPOOL_DIR", "")
            none = run_command(["spool", word])

        assert fresh.exit_code == 0
        assert none.exit_code == 1
        assert "there is no spool" in none.stderr


def _spooling_queue(server: RedisServer) -> vwo_celery.Queue:
    """A queue without its Redis and with three spooled events, which this process does not drain."""
    program = (
        "import sys, vwo_celery\n"
        "queue = vwo_celery.connect(\n"
        "    vwo_celery.Destination(account_id=1, sdk_key='k' * 32, generation='fme'),\n"
        "    redis_url=sys.argv[1], batch_event_data={'events_per_request': 5})\n"
        "assert all(r.where == 'spooled' for r in queue.enqueue_many([{}, {}, {}]))\n"
    )
    server.stop()
    subprocess.run([sys.executable, "-c", program, server.url], check=True, timeout=60)
    destination = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")
    return vwo_celery.connect(destination, redis_url=server.url)
