"""A plan is read from the variable PLAN and carried out step by step; see ../node/plan.js."""

from __future__ import annotations

import json
import os
import sys
import traceback


def tell(**facts):
    """Tell facts to the test."""
    os.write(1, f"TOLD {json.dumps(facts)}\n".encode())


def flushed(error, events):
    """Tell what a flush callback was called with: events come as text, as a list or as a body."""
    body = json.loads(events) if isinstance(events, str) else events
    items = body if isinstance(body, list) else (body or {}).get("ev", [])
    tell(callback={"error": None if error is None else str(error), "events": len(items)})


def _carry_out(calls, steps):
    for name, *args in steps:
        if name == "times":
            for number in range(args[0]):
                _carry_out(calls, [json.loads(json.dumps(args[1]).replace("#", str(number)))])
        elif name == "gate":
            tell(gate=True)
            sys.stdin.readline()
        else:
            calls[name](*args)


def main(start):
    """Make the calls of an SDK by *start*, carry out the plan, and end when the input does."""
    plan = json.loads(os.environ["PLAN"])
    try:
        _carry_out(start(plan), plan["steps"])
        tell(done=True)
    except Exception:
        tell(failed=traceback.format_exc())
    sys.stdin.read()
    os._exit(0)
