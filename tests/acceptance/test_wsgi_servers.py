"""docs/how-to/wsgi-servers.md: its application, its files and its commands, with real web servers.

uWSGI comes in the wheel `pyuwsgi`; where none can be had its test is left out, and fails where CI is set.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tools.blocks import write_files
from tools.processes import Process
from tools.producers import KEPT
from tools.visitors import Visitors
from tools.waiting import wait_until
from vwo_celery.demo.account import ACCOUNT_ID, SDK_KEY, vwo_settings
from vwo_celery.testing import Standin, free_port

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "wsgi-servers.md"
#: The commands of the page's table for servers of WSGI.
COMMANDS = re.findall(r"(?m)^\|[^|]*\| `((?:gunicorn|uwsgi) [^`]*)` \|", PAGE.read_text("utf-8"))
#: Scripts of the packages under test.
SCRIPTS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
VISITORS = [f"/buy/visitor-{number}" for number in range(24)]
#: What `get_flag` and `track_event` of the page make of one visit.
EVENTS_OF_A_VISIT = 3
_STOP_SECONDS = 30.0

pytestmark = pytest.mark.declared_keys(*KEPT)
Serve = Callable[[str], Any]


@pytest.fixture
def vwo_standin() -> Iterator[Standin]:
    """VWO, with the settings of the demo's account."""
    with Standin(settings=vwo_settings()) as standin:
        yield standin


@pytest.fixture
def serve(redis_url: str, vwo_standin: Standin, tmp_path: Path) -> Serve:
    """Run one of the page's commands beside its files, on a free port; a context of its visitors."""
    write_files(PAGE, tmp_path)
    (tmp_path / "gunicorn.conf.py").rename(tmp_path / "after_the_fork.py")
    port = free_port()
    ini = tmp_path / "uwsgi.ini"
    ini.write_text(ini.read_text().replace("http = :8000", f"http = 127.0.0.1:{port}"))
    env = {
        "PATH": SCRIPTS, "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
        "VWO_CELERY_REDIS_URL": redis_url, "VWO_CELERY_ENQUEUE_TIMEOUT_SECONDS": "10",
        "VWO_ACCOUNT_ID": str(ACCOUNT_ID), "VWO_SDK_KEY": SDK_KEY, "VWO_PROXY_URL": vwo_standin.url,
    }  # fmt: skip

    @contextmanager
    def run(command: str) -> Iterator[Visitors]:
        if command.startswith("uwsgi") and not shutil.which("uwsgi", path=SCRIPTS):
            (pytest.fail if os.environ.get("CI") else pytest.skip)("no uWSGI: pip install pyuwsgi")
        words = ("sh", "-c", f"exec {command}")
        process = Process(
            *words, folder=tmp_path, name="server", env=env, stop_timeout_seconds=_STOP_SECONDS
        )
        with process:
            process.wait_for_port(port, 60)
            yield Visitors(f"http://127.0.0.1:{port}")

    return run


def visits(redis: redis_py.Redis) -> Counter[str]:
    """The number of events of each visitor, none of which Redis holds twice."""
    texts = [text for key in redis.scan_iter("*:open") for text in redis.lrange(key, 0, -1)]
    assert len(set(texts)) == len(texts)
    return Counter(json.loads(text)["d"]["visId"] for text in texts)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.partition(" shop")[0])
def test_each_event_is_stored_once_behind_each_command(
    command: str, serve: Serve, redis: redis_py.Redis
) -> None:
    """Each command of the table serves the page's application; SIGTERM ends it."""
    with serve(command) as visitors:
        answers = visitors.each(visitors.post, VISITORS)

    assert {answer.status_code for answer in answers} == {200}
    assert all("one_page" in answer.json() for answer in answers)
    assert sorted(visits(redis).values()) == [EVENTS_OF_A_VISIT] * len(VISITORS)


def test_the_hook_of_the_page_makes_a_client_in_each_worker(
    serve: Serve, redis: redis_py.Redis, vwo_standin: Standin, tmp_path: Path
) -> None:
    """With gunicorn.conf.py the application is loaded once, and each worker asks VWO for settings."""
    (tmp_path / "after_the_fork.py").rename(tmp_path / "gunicorn.conf.py")
    shop = tmp_path / "shop.py"
    text, _, last = shop.read_text().rstrip().rpartition("\n")
    assert last.startswith("client()")
    shop.write_text(f"{text}\n")

    with serve("gunicorn shop:app --workers 2") as visitors:
        wait_until(lambda: len(vwo_standin.fetches) == 2, 30, what="a client in each, unasked")
        visitors.each(visitors.post, VISITORS)

    assert len(vwo_standin.fetches) == 2
    assert sorted(visits(redis).values()) == [EVENTS_OF_A_VISIT] * len(VISITORS)
