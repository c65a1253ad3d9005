"""What the tests of both generations' shadows share: the report, and the bytes of requests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tools.command_line import run_command
from vwo_celery.testing import Request

#: Makes two runs of an application send the same bytes.
STILL = """
import random, time
time.time = lambda: 1795307469.975
time.mktime = lambda moment: 1795307469.0
random.random = lambda: 0.5
"""
#: Lets a forked child end as a process does that Python ends.
END_CHILD = """
import atexit
def end_child():
    atexit._run_exitfuncs()
"""


def report(redis_url: str, *options: str, exit_code: int = 0) -> dict[str, Any]:
    """The report as a document."""
    result = run_command(["--redis-url", redis_url, "shadow-report", "--json", *options])
    assert result.exit_code == exit_code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def numbers(found: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Of each row what was sent, lost and held, and what the hook saw."""
    return {
        f"{row['event']} {row['campaign']}".strip(): (
            row["sent"], row["lost"], row["held"], row["hook"],
        )
        for row in found["rows"]
    }  # fmt: skip


def all_bytes(requests: Iterable[Request]) -> list[tuple[Any, ...]]:
    """Requests whole, in an order of their own: without batching, threads send them."""
    return sorted((each.method, each.target, sorted(each.headers), each.body) for each in requests)
