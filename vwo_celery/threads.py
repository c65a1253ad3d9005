"""A blocking call in a thread of its own, awaited by an event loop.

Beside every stage, for asyncio. The loop's own executor is the application's: where its threads are
busy, as with slow calls of an HTTP client, an event would wait behind them. These calls are seldom,
so each has a thread that ends with it: none is left idle, and a forked child inherits none. The
interpreter does not end before they do. If the process dies, what the call was doing is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


def start_in_thread(
    call: Callable[Parameters, Value], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Future[Value]:
    """Start a call in a thread; its result comes from the future, in any thread.

    Where no thread can be started, the call is made here and now.
    """
    job: Future[Value] = Future()
    job.set_running_or_notify_cancel()  # nobody can cancel it from now on
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(call, *args, **kwargs)
        except BaseException as exc:
            job.set_exception(exc)
        else:
            job.set_result(result)

    try:
        threading.Thread(target=run, name="vwo-celery-aio").start()
    except RuntimeError:  # the limit of the process is reached, or the interpreter ends
        run()
    return job


def done_of(job: Future[Value]) -> asyncio.Future[None]:
    """A future of the running loop that is done once *job* is; to cancel it stops nothing."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(wake)

    job.add_done_callback(tell)
    return done


async def result_of(job: Future[Value]) -> Value:
    """Wait for a call of `start_in_thread`; whoever stops waiting does not stop the call."""
    await done_of(job)
    return job.result()


async def in_thread(
    call: Callable[Parameters, Value], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Value:
    """Make a call in a thread, and wait for its result."""
    return await result_of(start_in_thread(call, *args, **kwargs))
