"""Settings for SDKs: VWO's answer, or the copy of one.

Beside an event's way. Requests for one copy share one look at Redis and one request to VWO, in threads.
Who has an old copy at hand waits for a new one only a moment, since SDKs give up after some seconds;
the fetching goes on, and the next request gets it. If the process dies, SDKs ask again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar
from urllib.parse import unquote_plus

from vwo_celery.clocks import monotonic
from vwo_celery.copies import FETCH_SECONDS, Asked, Found, Keeper, Reply, Task
from vwo_celery.destinations import VWO_HOST, WINGIFY_SETTINGS_HOST
from vwo_celery.destinations.parts import read_account, read_key
from vwo_celery.errors import DestinationError
from vwo_celery.queue.records.copies import CopyName
from vwo_celery.relay.reading.paths import KnownPath
from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.rules.answers import (
    NO_SETTINGS,
    NOT_FORWARDABLE,
    TOO_BUSY,
    UNKNOWN_KEY,
    Answer,
    Refused,
    passed_on,
)
from vwo_celery.relay.telling.counts import counted
from vwo_celery.settings import Settings
from vwo_celery.threads import done_of, start_in_thread

#: Longest wait for a new copy where an old one is at hand. (Python's SDKs wait three seconds for their
#: settings, Node's ten, the others longer.)
PATIENCE_SECONDS: Final = 1.5
#: Longest wait where there is none, and pause between two looks while another process fetches it.
_LONGEST_WAIT_SECONDS: Final = FETCH_SECONDS + 1.0
_PAUSE_SECONDS: Final = 0.1
#: Most looks and requests to VWO of this process at a time.
_MOST_JOBS: Final = 64
_QUERY: Final = re.compile(r"[!-~]*")

Value = TypeVar("Value")
_Fetch = Future[Reply | None]


class SettingsFiles:
    """The settings that SDKs get from this relay.

    Args:
        settings: Say which Redis, and the namespace.
        access: Who may have any.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self._keeper = Keeper(settings)
        self._access = access
        self._upstream = settings.relay_upstream.rstrip("/")
        self._looks: dict[CopyName, Future[tuple[Found, _Fetch | None]]] = {}
        self._fetches: dict[CopyName, _Fetch] = {}
        self._pulls: dict[object, _Fetch] = {}

    async def answer(self, request: Request, known: KnownPath) -> Answer:
        """Answer a request for settings.

        Raises:
            Refused: The account or key may have none, the query cannot be sent on, or there is too much
                to do.
        """
        asked = self._asked(request, known)
        reply = await (self._pull(asked) if asked.is_pull else self._find(asked))
        if reply is None:
            counted.settings["none"] += 1
            return NO_SETTINGS
        counted.settings[_word(reply)] += 1
        return passed_on(reply.status, reply.content_type, reply.body, reply.stale_seconds)

    def close(self) -> None:
        """Close the idle connections to VWO."""
        self._keeper.close()

    def _asked(self, request: Request, known: KnownPath) -> Asked:
        query = request.raw_query.decode("latin-1")
        names = [unquote_plus(pair.partition("=")[0]) for pair in query.split("&")]
        if not _QUERY.fullmatch(query) or max(names.count("a"), names.count("i")) > 1:
            raise Refused(NOT_FORWARDABLE)
        account, key = request.query.get("a", ""), request.query.get("i", "")
        if not self._access.allows(account, key):
            raise Refused(UNKNOWN_KEY)
        try:
            read_account("a", account)
            read_key("i", key)
        except DestinationError as exc:
            raise Refused(UNKNOWN_KEY) from exc
        origin = self._upstream or f"https://{host_of(request)}"
        return Asked(origin, known.region, known.path, account, key, query)

    async def _find(self, asked: Asked) -> Reply | None:
        """The settings, fresh if that is possible; None if there are none."""
        until = monotonic() + _LONGEST_WAIT_SECONDS
        while True:
            reply = self._keeper.peek(asked)
            if reply is not None:
                return reply
            found, fetch = await self._look(asked)
            if found.is_settled:
                return found.reply
            if fetch is not None:
                left = until - monotonic() if found.reply is None else PATIENCE_SECONDS
                await asyncio.wait([done_of(fetch)], timeout=left)
                return _result(fetch) or found.reply
            if found.reply is not None or monotonic() >= until:
                return found.reply
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, asked: Asked) -> tuple[Found, _Fetch | None]:
        """Look a copy up; and the request to VWO, where this process makes one."""
        job = self._looks.get(asked.name)
        if job is None:
            self._check_room()
            job = _begin(self._looks, asked.name, lambda: self._look_and_begin(asked))
        await done_of(job)
        return job.result()

    def _look_and_begin(self, asked: Asked) -> tuple[Found, _Fetch | None]:
        found, name = self._keeper.look(asked), asked.name
        under_way = self._fetches.get(name)
        if found.task is None or under_way is not None:  # without Redis each look gives the task
            return found, under_way
        task: Task = found.task
        return found, _begin(self._fetches, name, lambda: self._keeper.fetch(task))

    async def _pull(self, asked: Asked) -> Reply | None:
        """VWO's answer now: it has told of a change, so no earlier request would do."""
        self._check_room()
        job = _begin(self._pulls, object(), lambda: self._keeper.fetch(Task(asked)))
        await done_of(job)
        return _result(job)

    def _check_room(self) -> None:
        if len(self._looks) + len(self._fetches) + len(self._pulls) >= _MOST_JOBS:
            raise Refused(TOO_BUSY)


Name = TypeVar("Name")


def _begin(jobs: dict[Name, Future[Value]], name: Name, call: Callable[[], Value]) -> Future[Value]:
    """Start a call in a thread, which stands under its name until it ends."""
    job = jobs[name] = start_in_thread(call)
    job.add_done_callback(lambda _: jobs.pop(name, None))
    return job


def _result(fetch: _Fetch) -> Reply | None:
    """What VWO gave; None if it gave none, or has not answered yet."""
    reply = fetch.result() if fetch.done() else None
    if reply is None:
        counted.settings["failed"] += 1
    return reply


def host_of(request: Request) -> str:
    """The host that an SDK fetches its settings from."""
    is_wingify = request.query.get("sn", "").startswith("wingify-")
    return WINGIFY_SETTINGS_HOST if is_wingify else VWO_HOST


def _word(reply: Reply) -> str:
    if reply.status != 200:
        return "refused"
    return "fresh" if reply.stale_seconds is None else "stale"
