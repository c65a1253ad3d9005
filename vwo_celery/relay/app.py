"""The relay as an ASGI app: one request, from its body to its answer.

An answer of 200 comes only once the events are in Redis or on this host's disk. The body is read
before anything else waits: once a client has left, as PHP's does at once, a server may hand out the
end of the connection instead of it. If the process dies, a request without an answer is stored or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, Final

from vwo_celery.destinations import Generation
from vwo_celery.errors import QueueFull
from vwo_celery.logs import log, log_surprise
from vwo_celery.producing.aio import store_encoded
from vwo_celery.producing.queue import producer_of
from vwo_celery.producing.readiness import takes_events
from vwo_celery.receipts import IN_REDIS, SPOOLED
from vwo_celery.relay.cors import Cors
from vwo_celery.relay.destinations import Destinations, Renewed, Target
from vwo_celery.relay.passing.diagnostics import QUEUED, Reports, is_report, note, sender_of
from vwo_celery.relay.passing.gateway import Gateway
from vwo_celery.relay.passing.settings_files import SettingsFiles
from vwo_celery.relay.reading import paths
from vwo_celery.relay.reading.batches import Found, events_of
from vwo_celery.relay.reading.bodies import text_of
from vwo_celery.relay.reading.paths import KnownPath
from vwo_celery.relay.reading.request import Request
from vwo_celery.relay.reading.singles import envelope_of, event_of, is_fme, item_of, with_visitor
from vwo_celery.relay.rules import answers
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.rules.answers import Answer, Refused, wrong_method
from vwo_celery.relay.rules.limits import MOST_BODY_BYTES
from vwo_celery.relay.telling.cards import Batches, Telling
from vwo_celery.relay.telling.counts import counted
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count
from vwo_celery.threads import in_thread
from vwo_celery.tracing.api import incoming, is_loaded

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: Most request lines whose destination is remembered; those of batches repeat exactly.
_MOST_KNOWN: Final = 4096
#: Longest query of such a line, in bytes; those of the SDKs have some hundred.
_LONGEST_KNOWN: Final = 1024
_NOTHING_LOST: Final[Mapping[str, int]] = {}
_MARKS_OF_PHONES: Final = (b"pt=", b"-android", b"-ios")
_BATCHES: Final = (paths.BATCH_LEGACY, paths.BATCH_FME)


class Relay:
    """The relay, an ASGI app. Made by `relay_app`.

    Args:
        access: Who may send.
        destinations: Where events go.
        settings: Settings of the queues.
        origins: Origins whose pages may send; none for no browsers.
        prefix: Path under which the app is reached, where its server does not tell by `root_path`.
        batches: Returns when batches leave, by account, "" for all others.
        listens: Address of the server; "" where the relay is mounted.

    Attributes:
        access: Who may send.
        batches: See above.
        prefix: As given, without a slash at its end.
    """

    def __init__(
        self,
        access: Access,
        destinations: Destinations,
        settings: Settings,
        *,
        origins: Sequence[str] = (),
        prefix: str = "",
        batches: Callable[[], Batches] = dict,
        listens: str = "",
    ) -> None:
        self.access = access
        self.batches = batches
        self._destinations = destinations
        self._settings = settings
        self._cors = Cors(origins)
        self.prefix = prefix.rstrip("/")
        self._settling: set[asyncio.Task[None]] = set()
        self._telling = Telling(settings, batches, listens)
        self._is_told = False
        self._reports = Reports(
            is_forwarding=settings.relay_diagnostics == "forward", upstream=settings.relay_upstream
        )
        self._settings_files = SettingsFiles(settings, access)
        gateway = settings.relay_gateway_upstream or settings.relay_upstream
        self._gateway = Gateway(gateway, access)
        self._known: dict[tuple[str, bytes, bytes | None], Target] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or follow the server's life."""
        if scope["type"] != "http":
            await self._follow(scope, receive, send)
            return
        if not self._is_told:
            self._begin_telling()
        more: answers.Headers = ()
        try:
            body = await _body_of(receive)
            if body is None:
                return
            counted.requests += 1
            request = Request(scope, body, self.prefix)
            if self._cors:
                more = self._cors.headers(request)
            answer = await (self._answer_traced if is_loaded() else self._answer)(request)
        except Refused as exc:
            answer = exc.answer
        except Exception as exc:
            log_surprise(exc, "the relay answers 503")
            answer = answers.FAULT
        if answer.reason:
            counted.refused[answer.reason] += 1
        headers = [*answer.headers, *more]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def reread_access(self) -> None:
        """Read the file of accounts again; if it cannot be read, the accounts stay as they were.

        Queues that are open get the batch options that it says now. To be called in the relay's loop.
        """
        self.access.reread_or_warn()
        self._known.clear()
        renewed = self._destinations.renew()
        if renewed:
            log.info("batch options have changed of %s", count(len(renewed), "queue"))
            settling = asyncio.create_task(_settle(renewed))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def aclose(self) -> None:
        """Wait for what is being stored, and close the connections of this loop."""
        if self._settling:
            await asyncio.wait(self._settling)
        await self._destinations.aclose()
        await in_thread(self._reports.end)
        self._settings_files.close()
        self._gateway.close()
        await in_thread(self._telling.end)

    def _begin_telling(self) -> None:
        """Tell the fleet from now on; not every server says when it starts."""
        self._is_told = True
        self._telling.begin()

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        while scope["type"] == "lifespan":
            self._begin_telling()
            message = await receive()
            is_end = message["type"] == "lifespan.shutdown"
            if is_end:
                await self.aclose()
            await send({"type": f"{message['type']}.complete"})
            if is_end:
                return

    async def _answer_traced(self, request: Request) -> Answer:
        with incoming(request.texts()):
            return await self._answer(request)

    async def _answer(self, request: Request) -> Answer:
        line = (request.path, request.raw_query, request.headers.get(b"authorization"))
        target = self._known.get(line)
        if target is not None and request.method == "POST":
            return await self._store(target, *_found(request, target))
        known = paths.find(request.path)
        if known is None:
            raise Refused(answers.UNKNOWN_PATH)
        self._check_method(request, known.path)
        if request.method == "OPTIONS":
            return answers.NO_CONTENT
        if known.path not in _BATCHES:
            return await self._answer_other(request, known)
        generation: Generation = "fme" if known.path == paths.BATCH_FME else "legacy"
        target = self._find_target(request, known, request.query.get("a", ""), generation)
        if len(request.raw_query) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[line] = target
        return await self._store(target, *_found(request, target))

    async def _answer_other(self, request: Request, known: KnownPath) -> Answer:
        """Answer a request that is no batch."""
        if known.path in paths.OWN:
            return await self._tell_health(known.path)
        if known.path in paths.SETTINGS:
            return await self._settings_files.answer(request, known)
        if known.path in paths.GATEWAY:
            return await self._gateway.answer(request, known)
        return await self._take_single(request, known)

    def _check_method(self, request: Request, path: str) -> None:
        methods = paths.METHODS[path]
        if request.method == "OPTIONS" and self._cors.headers(request):
            return
        is_look = request.method == "HEAD" and path in paths.OWN
        if request.method not in methods.split(", ") and not is_look:
            raise wrong_method(methods)

    def _check_access(self, request: Request, account: str) -> None:
        if not self.access.allows(account, request.key()):
            raise Refused(answers.UNKNOWN_KEY)

    def _find_target(
        self, request: Request, known: KnownPath, account: str, generation: Generation
    ) -> Target:
        self._check_access(request, account)
        key = request.key()
        return self._destinations.find(generation, known.region, account, key, request.query)

    async def _take_single(self, request: Request, known: KnownPath) -> Answer:
        """Take a request that is one event."""
        if known.path != paths.EVENT:
            account = request.query.get("account_id", "")
            target = self._find_target(request, known, account, "legacy")
            return await self._store(target, (item_of(request, known.path),))
        if is_report(request):
            return await self._take_report(request, known)
        account = request.query.get("a", "")
        self._check_access(request, account)
        item = event_of(text_of(request))
        if not is_fme(request, item):
            target = self._find_target(request, known, account, "single")
            event = envelope_of(request, item, target.queue.sync.destination)
            return await self._store(target, (event,))
        target = self._find_target(request, known, account, "fme")
        if self._cors and request.query.get("dh") == "1":
            client = request.scope.get("client") or ("", 0)
            item = with_visitor(item, request.header(b"user-agent"), client[0])
        return await self._store(target, (item,))

    async def _take_report(self, request: Request, known: KnownPath) -> Answer:
        """Take a report of an SDK on itself; no event waits for it."""
        item = event_of(text_of(request))
        account, key = sender_of(request, item)
        if not self.access.allows(account, key):
            raise Refused(answers.UNKNOWN_KEY)
        line = (known.region, account, key, request.query)
        if self._settings.relay_diagnostics != "queue":
            self._reports.take(request, item, partial(self._destinations.wanted, "single", *line))
            return answers.SUCCESS
        target = self._destinations.find("single", *line)
        envelope = envelope_of(request, item, target.queue.sync.destination)
        answer = await self._store(target, (envelope,))
        if answer is answers.SUCCESS:
            note(QUEUED)
        return answer

    async def _store(
        self, target: Target, events: Sequence[bytes], lost: Mapping[str, int] = _NOTHING_LOST
    ) -> Answer:
        """Store the events of one request; the answer is 200 only if all of them are stored."""
        try:
            receipts = await store_encoded(target.queue, events)
        except QueueFull:
            return answers.NOT_STORED
        in_redis = receipts.count(IN_REDIS)
        if in_redis < len(receipts):
            in_redis = sum(receipt.where == "redis" for receipt in receipts)
            spooled = receipts.count(SPOOLED)
            counted.spooled += spooled
            if in_redis + spooled < len(receipts):
                counted.stored += in_redis
                return answers.NOT_STORED
        counted.stored += in_redis
        if target.is_folded:
            counted.folded += len(events)
        if lost:
            _count_lost(target, lost)
        return answers.SUCCESS

    async def _tell_health(self, path: str) -> Answer:
        if path == paths.HEALTHZ or await in_thread(
            takes_events, self._settings, self._telling.write
        ):
            return answers.HEALTHY
        return answers.NOT_READY


async def _settle(renewed: Sequence[Renewed]) -> None:
    """Settle queues one after the other; events meanwhile go to the new ones."""
    for each in renewed:
        try:
            await each.settle()
        except Exception as exc:
            log_surprise(exc, "a queue's new batch options come with its next event")


def _found(request: Request, target: Target) -> Found:
    """The events of a batch request."""
    is_fme = target.queue.sync.destination.generation == "fme"
    return events_of(text_of(request), is_fme=is_fme, is_phone=_is_phone(request))


def _is_phone(request: Request) -> bool:
    """Whether a phone's SDK sends, by its platform or its name; most queries are not even parsed."""
    if not any(mark in request.raw_query for mark in _MARKS_OF_PHONES):
        return False
    name = request.query.get("sn", "")
    return "pt" in request.query or "-android" in name or "-ios" in name


def _count_lost(target: Target, lost: Mapping[str, int]) -> None:
    """Count items of a stored batch that are no events as dropped, where `doctor` shows them."""
    for reason, number in lost.items():
        counted.lost[reason] += number
        detail = "an SDK's batch had items that are no events"
        producer_of(target.queue.sync).drop(reason, number, detail)


async def _body_of(receive: Receive) -> bytes | None:
    """The whole body; None if the client has left before its end.

    Raises:
        Refused: It is too large.
    """
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(piece)
        if size > MOST_BODY_BYTES:
            raise Refused(answers.TOO_LARGE)
        if not more and not pieces:
            return piece
        pieces.append(piece)
    return b"".join(pieces)
