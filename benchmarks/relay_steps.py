"""The relay, which notes the processor time of each step of its event loop: `relay_steps.py FILE`.

A request waits for the steps before it, so the longest one is what the relay itself adds to its slowest
answers; the rest of them the machine adds. A step is all that is ready at one time: the requests that
came together, and whatever else holds the loop, such as Python's search for garbage. When the program
ends, FILE has the milliseconds of each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from vwo_celery.relay.serving.server import serve
from vwo_celery.settings import Settings

sys.modules["uvloop"] = None  # type: ignore[assignment]  # whose steps cannot be timed
steps: list[float] = []
_run_once = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]


def run_once(loop: Any) -> None:
    """Run one step, and note what it took of the processor."""
    started = time.thread_time_ns()
    _run_once(loop)
    steps.append((time.thread_time_ns() - started) / 1e6)


asyncio.BaseEventLoop._run_once = run_once  # type: ignore[attr-defined]
serve(Settings.load())
Path(sys.argv[1]).write_text(json.dumps(steps))
