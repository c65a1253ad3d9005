"""From a request to the queue of its destination: opened once, and kept.

A destination says what the SDK said: account, key, region, and the known names of the query as the SDK
spelled them. One account and key has a bounded number of destinations, since each is a queue for good:
beyond it a further version of an SDK goes to the first one of the same SDK. Never does an event go
under another account, key, region or SDK name. If the process dies, the queues are as they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from vwo_celery.destinations import QUERY_NAMES, WINGIFY_HOST, Destination
from vwo_celery.destinations.parts import Generation
from vwo_celery.destinations.spelling import SDK_VERSIONS, STATISTICS
from vwo_celery.errors import DestinationError
from vwo_celery.logs import seldom
from vwo_celery.producing.aio import AioQueue, connect
from vwo_celery.producing.queue import producer_of
from vwo_celery.producing.singles import one_by_one
from vwo_celery.relay.rules.answers import TOO_MANY_SDKS, UNKNOWN_KEY, Refused
from vwo_celery.settings import BatchSettings, Settings
from vwo_celery.threads import in_thread

#: Most destinations of one account and key, and how many of them are kept for SDKs, regions and hosts
#: that have none yet.
MOST_DESTINATIONS: Final = 32
_KEPT_FOR_NEW_SDKS: Final = 8
#: Most destinations of a process for keys that no list names, which anybody can make up.
MOST_OF_UNNAMED_KEYS: Final = 10_000

#: Names of regions as VWO gives them, such as eu01 and as01.
_USUAL_REGION: Final = re.compile(r"[a-z]{2}[0-9]{2}")


class Target(NamedTuple):
    """Where the events of a request go.

    Attributes:
        queue: The queue.
        is_folded: Whether it is that of another destination of the same SDK.
    """

    queue: AioQueue
    is_folded: bool


class Renewed(NamedTuple):
    """A queue before and after its batch options have changed."""

    before: AioQueue
    after: AioQueue

    async def settle(self) -> None:
        """Wait for what is being stored by the old one, and give workers the new options at once."""
        await self.before.aclose()
        await in_thread(producer_of(self.after.sync).register)


class Destinations:
    """The queues of one relay, by destination.

    Args:
        settings: Settings of the queues.
        batch_of: Returns the batch options of an account.
        upstream: URL that stands for VWO's hosts; "" for VWO's own.
        is_named: Whether a list names an account and key; those have a place whatever others do.
        most_unnamed: Most destinations of all other keys.
    """

    def __init__(
        self,
        settings: Settings,
        batch_of: Callable[[str], BatchSettings],
        upstream: str = "",
        *,
        is_named: Callable[[str, str], bool],
        most_unnamed: int = MOST_OF_UNNAMED_KEYS,
    ) -> None:
        self._settings = settings
        self._batch_of = batch_of
        self._upstream = upstream
        self._opened: dict[tuple[str, str], dict[Destination, AioQueue]] = {}
        self._is_named = is_named
        self._unnamed_left = most_unnamed

    def find(
        self, generation: Generation, region: str, account: str, key: str, query: dict[str, str]
    ) -> Target:
        """The queue for a request.

        Args:
            generation: Of the SDK; "single" for a request that is kept whole.
            region: Collection prefix of the path, "" for none.
            account: VWO account.
            key: SDK key.
            query: The request's query; only what names the SDK counts, and nothing of a single
                request, which is kept whole.

        Raises:
            Refused: Account or key can be no such thing, or there are too many destinations.
        """
        wanted = self.wanted(generation, region, account, key, query)
        queue = self._opened.get((account, key), {}).get(wanted)
        return Target(queue, False) if queue is not None else self._place(account, key, wanted)

    def wanted(
        self, generation: Generation, region: str, account: str, key: str, query: dict[str, str]
    ) -> Destination:
        """What a request says of its destination; see `find`. No queue is opened.

        Raises:
            Refused: Account or key can be no such thing.
        """
        said = tuple((name, query[name]) for name in QUERY_NAMES if name in query)
        try:
            return Destination(
                account_id=account,
                sdk_key=key,
                generation=generation,
                region=region,
                base_url=self._upstream or _host_of(query),
                query=None if generation == "single" else said,
            )
        except DestinationError as exc:
            raise Refused(UNKNOWN_KEY) from exc

    def _place(self, account: str, key: str, wanted: Destination) -> Target:
        opened = self._opened.get((account, key), {})
        alike = [queue for known, queue in opened.items() if _is_alike(known, wanted)]
        most = MOST_DESTINATIONS - (_KEPT_FOR_NEW_SDKS if alike else 0)
        if len(opened) < most and self._has_room(account, key):
            _doubt(wanted.region)
            queue = self._open(wanted)
            self._opened.setdefault((account, key), {})[wanted] = queue
            return Target(queue, False)
        if alike:
            return Target(alike[0], True)
        if len(opened) < most:
            what = "the relay has as many destinations as it keeps for keys that no list names"
        else:
            what = f"a key of account {account} has {len(opened)} destinations"
        seldom.warn(
            f"too many SDKs {account}",
            "%s; further ones of account %s are refused until the relay is started again",
            what, account,
        )  # fmt: skip
        raise Refused(TOO_MANY_SDKS)

    def _has_room(self, account: str, key: str) -> bool:
        """Whether the process may have one more destination of a key; takes its place."""
        if self._is_named(account, key):
            return True
        if not self._unnamed_left:
            return False
        self._unnamed_left -= 1
        return True

    def _open(self, destination: Destination) -> AioQueue:
        batch = self._batch_of(str(destination.account_id))
        return connect(destination, batch_event_data=batch, settings=self._settings)

    def renew(self) -> list[Renewed]:
        """Open each queue anew whose batch options have changed; requests use the new ones at once."""
        renewed = []
        for opened in self._opened.values():
            for destination, queue in opened.items():
                batch = self._batch_of(str(destination.account_id))
                wanted = one_by_one(batch) if destination.is_single else batch
                if queue.sync.batch != wanted:
                    opened[destination] = self._open(destination)
                    renewed.append(Renewed(queue, opened[destination]))
        return renewed

    def __len__(self) -> int:
        return sum(map(len, self._opened.values()))

    async def aclose(self) -> None:
        """Wait for what is being stored, and close the connections of this loop."""
        for opened in self._opened.values():
            for queue in opened.values():
                await queue.aclose()


def _doubt(region: str) -> None:
    """Say that a path is taken for a region, if it looks like none of VWO's."""
    if region and not _USUAL_REGION.fullmatch(region):
        seldom.warn(
            f"region {region}",
            'events come beneath the path /%s, which is taken for the name of a region of VWO; if the '
            'relay is mounted there, say so: relay_app(prefix="/%s")', region, region,
        )  # fmt: skip


def _host_of(query: dict[str, str]) -> str:
    """The host that an SDK sends to; "" for VWO's own."""
    return f"https://{WINGIFY_HOST}" if query.get("sn", "").startswith("wingify-") else ""


def _is_alike(known: Destination, wanted: Destination) -> bool:
    """Whether events may go from one destination to another: only version and statistics differ."""
    return _but_version(known) == _but_version(wanted)


def _but_version(destination: Destination) -> tuple[object, ...]:
    said = [
        (name, "" if name in SDK_VERSIONS else value)
        for name, value in destination.said
        if name not in STATISTICS
    ]
    return destination.generation, destination.region, destination.base_url, said
