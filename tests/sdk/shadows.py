"""What the tests of both generations' shadows share: pieces of applications, and checks of counts.

A generation's START makes a shadowed `client`, and defines `call(*calls)` and `finish()`, which lets
the SDK send what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sdk.applications import Told
from tools.command_line import run_command
from vwo_celery.testing import Request, Standin

Application = Callable[..., Told]

#: Makes two runs of an application send the same bytes.
_STILL = """
import random, time
time.time = lambda: 1795307469.975
time.mktime = lambda moment: 1795307469.0
random.random = lambda: 0.5
"""
RUN = """
call(*F["calls"])
finish()
"""
#: Two forked children track all calls; each ends as a process does that Python ends.
FORKS = """
import atexit
def child():
    call(*F["calls"])
    finish()
    atexit._run_exitfuncs()
call(*F["before"])  # waits in the SDK's memory, which each child inherits
# One after the other, since the children share the SDK's one connection.
assert [*in_processes(child), *in_processes(child)] == [0, 0]
"""
#: The hook sees what `seen(event)` gives it; None for an event that it misses.
HOOK_SEES = """
from vwo_celery.sdk.shadow import Watched
hook = Watched.hook
def otherwise(self, event):
    event = seen(event)
    if event is not None:
        hook(self, event)
Watched.hook = otherwise
"""
#: Tells with which error F["code"] is refused.
REFUSED = """
try:
    exec(F["code"])
except vwo_celery.errors.SdkError as exc:
    tell(error=str(exc))
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
        _name(row): (row["sent"], row["lost"], row["held"], row["hook"]) for row in found["rows"]
    }


def agreed(redis_url: str, received: int) -> dict[str, int]:
    """How many events each row has, where both sides counted the same until the process ended.

    Args:
        redis_url: Where the process counted.
        received: Number of events that VWO got.
    """
    found = report(redis_url)
    rows = numbers(found)
    assert found["verdict"] == "same"
    assert all(row == (row[0], 0, 0, row[0]) for row in rows.values())
    assert sum(row[0] for row in rows.values()) == received
    assert (found["running"], found["ended"], found["held_running"]) == (0, 1, 0)
    return {name: row[0] for name, row in rows.items()}


def check_same_bytes(
    application: Application, standin: Standin, *pieces: str, **facts: Any
) -> None:
    """Check that a shadowed application sends what it sends without a shadow."""
    application(_STILL, *pieces, shadowed=False, **facts)
    plain = list(standin.requests)

    application(_STILL, *pieces, **facts)

    assert len(plain) > 0
    assert _all_bytes(standin.requests[len(plain) :]) == _all_bytes(plain)


def check_differing(redis_url: str, events: Collection[str]) -> None:
    """Check that just the rows of these events differ, of which the hook saw fewer."""
    found = report(redis_url, exit_code=1)

    assert found["verdict"] == "differs"
    assert {row["event"] for row in found["rows"] if row["difference"]} == set(events)
    assert found["rows"][0]["difference"] < 0


def check_other_contents(redis_url: str) -> None:
    """Check that the only row has as many events on both sides, and with other contents."""
    [row] = report(redis_url, exit_code=1)["rows"]

    assert (row["difference"], row["same_contents"]) == (0, False)


def check_forks(redis_url: str, name: str, received: int) -> None:
    """Check the counts of the three processes of FORKS.

    Args:
        redis_url: Where they counted.
        name: The row of the one event that children inherited, as of `numbers`.
        received: Number of events that VWO got.
    """
    found = report(redis_url)

    assert found["verdict"] == "same"
    row = next(row for row in found["rows"] if _name(row) == name)
    assert (row["hook"], row["inherited"], row["sent"]) == (4, 2, 6)
    assert sum(row["sent"] for row in found["rows"]) == received
    assert found["ended"] == 3


def _name(row: dict[str, Any]) -> str:
    return f"{row['event']} {row['campaign']}".strip()


def _all_bytes(requests: Iterable[Request]) -> list[tuple[Any, ...]]:
    """Requests whole, in an order of their own: without batching, threads send them."""
    return sorted((each.method, each.target, sorted(each.headers), each.body) for each in requests)
