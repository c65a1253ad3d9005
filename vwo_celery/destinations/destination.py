"""Destination: everything that the events of one batch share in its request line and headers.

Two events fit into one batch only if their destinations are equal, since all parts of a destination
are in the URL, the query or the headers of the request. A queue's name is a digest of its
destination: every process with the same destination finds the same queue, and no key shows. A
worker must be able to read what a producer registers, so only plain values are kept, and all else
is refused at once. Pure: nothing to lose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from vwo_celery.destinations import parts, spelling
from vwo_celery.destinations.parts import Generation
from vwo_celery.destinations.spelling import Pairs
from vwo_celery.errors import DestinationError
from vwo_celery.text.masking import mask

#: Hosts of VWO's SDKs: of `vwo.init` and `vwo.launch`, and of `wingify.init` (vendor's Constants).
VWO_HOST = "dev.visualwebsiteoptimizer.com"
WINGIFY_HOST = "collect.wingify.net"
COLLECTION_HOSTS = (VWO_HOST, WINGIFY_HOST)
#: Header of a relay's own answers: none of VWO's has it, so a worker that meets it has met a relay.
RELAY_HEADER = "X-Vwo-Celery-Relay"
#: Host from which an SDK of `wingify.init` fetches its settings; of the others it is VWO_HOST.
WINGIFY_SETTINGS_HOST = "edge.wingify.net"

_PATHS: dict[str, str] = {
    "legacy": "/server-side/batch-events",
    "fme": "/server-side/batch-events-v2",
    "single": "/events/t",
}
#: Name and version of the newest SDK of each generation, sent where no SDK is attached.
NEWEST_SDK: dict[str, tuple[str, str]] = {
    "legacy": ("vwo-python-sdk", "1.68.2"),
    "fme": ("vwo-fme-python-sdk", "1.65.0"),
    "single": ("", ""),
}
#: SDKs that send the `User-Agent` of requests, the HTTP library, as this package does by itself.
_SDKS_BY_REQUESTS = ("vwo-fme-python-sdk", "wingify-fme-python-sdk")
#: `User-Agent` of requests for an SDK that names itself nowhere: no other SDK's name may be in it.
OWN_AGENT = "vwo-celery"


class Destination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The destination of events.

    None stands for an argument that is left out. Subclasses of str and int, such as Django's
    SafeString and numpy's integers, are kept as plain values.

    Args:
        account_id: VWO account, a number or its digits.
        sdk_key: The environment's SDK key: visible ASCII characters.
        generation: "legacy" (vwo-python-sdk) or "fme" (vwo-fme-python-sdk, wingify-fme-python-sdk);
            or "single", for requests that are sent one by one as they came, each an envelope (see
            `vwo_celery.events.envelopes`) that says itself what the SDK said.
        region: Collection prefix such as "eu01"; "" for none.
        base_url: Scheme and host; "" for VWO's own.
        sdk_name: Name that the request line carries; "" for the newest SDK of the generation.
        sdk_version: Likewise.
        usage_stats: Legacy only: usage statistics of the query, in wire order, such as
            (("eb", "1"), ("_l", "1")).
        query: Instead of the three: the query as an SDK of any language spelled it, names of
            `QUERY_NAMES` with their values, such as (("sn", "vwo-fme-go-sdk"),); () for an SDK that
            names nothing. It is kept in the order of `QUERY_NAMES`; one that the three can say is
            kept as them, so that each request line has one queue.

    Raises:
        DestinationError: A part is missing, is of another type, or has characters that its place in
            the request cannot carry; or `query` has a name that is unknown or comes twice, or is
            given beside what it replaces; or "single" is given with any of these four. The message
            names the part.
    """

    account_id: int | str
    sdk_key: str
    generation: Generation
    region: str = ""
    base_url: str = ""
    sdk_name: str = ""
    sdk_version: str = ""
    usage_stats: Pairs = ()
    query: Pairs | None = None

    def __post_init__(self) -> None:
        for name, read in _READERS.items():
            self._keep(name, read(name, getattr(self, name)))
        if self.is_single:
            self._refuse_what_envelopes_say()
        elif self.query is not None:
            self._settle_query(self.query)

    def _keep(self, name: str, value: Any) -> None:
        if value is not getattr(self, name):
            msgspec.structs.force_setattr(self, name, value)

    def _refuse_what_envelopes_say(self) -> None:
        for name in (*_REPLACED, "query"):
            if getattr(self, name) not in ("", (), None):
                raise DestinationError(
                    f'{name} must be left out where generation is "single": each event says it'
                )
        self._keep("query", None)

    def _settle_query(self, said: Pairs) -> None:
        """Keep a query as `sdk_name`, `sdk_version` and `usage_stats` if these can say it."""
        if self.sdk_name or self.sdk_version or self.usage_stats:
            raise DestinationError(
                "query cannot be given beside sdk_name, sdk_version or usage_stats: it stands for them"
            )
        same = spelling.as_parts(self.generation, said)
        if same is not None:
            for name, value in zip(_REPLACED, same, strict=True):
                self._keep(name, value)
            self._keep("query", None)

    @property
    def is_single(self) -> bool:
        """Whether its events are envelopes, sent one by one."""
        return self.generation == "single"

    def is_alike(self, other: Destination) -> bool:
        """Whether the other has the same host, account and key, so that VWO knows both or neither."""
        return (self.origin, self.region, str(self.account_id), self.sdk_key) == (
            other.origin, other.region, str(other.account_id), other.sdk_key,
        )  # fmt: skip

    @property
    def queue(self) -> str:
        """Name of the queue, such as "fme-888888-1f0c9a2b7d3e"; contains no key."""
        said = (*self.sdk, self.usage_stats) if self.query is None else ("query", self.query)
        shape = (
            self.generation, self.origin, self.region, str(self.account_id), self.sdk_key, *said
        )  # fmt: skip
        digest = hashlib.sha256(msgspec.json.encode(shape)).hexdigest()[:12]
        return f"{self.generation}-{self.account_id}-{digest}"

    @property
    def origin(self) -> str:
        """Scheme, host and optional path, before the region and the vendor's path."""
        return (self.base_url or f"https://{VWO_HOST}").rstrip("/")

    @property
    def host(self) -> str:
        """Host name, and port if one is given, to which the worker connects."""
        return urlsplit(self.origin).netloc.lower()

    @property
    def sdk(self) -> tuple[str, str]:
        """SDK name and version of the request line; "" for what it does not name."""
        if self.query is None:
            name, version = NEWEST_SDK[self.generation]
            return self.sdk_name or name, self.sdk_version or version
        return spelling.sdk_of(self.query)

    @property
    def spelled(self) -> Pairs | None:
        """The query as the SDK spelled it, for people: keys in it are masked; None as in `query`."""
        if self.query is None:
            return None
        return spelling.masked(self.query)

    @property
    def statistics(self) -> Pairs:
        """Usage statistics of the request line."""
        if self.query is None:
            return self.usage_stats
        return tuple(pair for pair in self.query if pair[0] in spelling.STATISTICS)

    @property
    def sdk_words(self) -> str:
        """What the request line says of the SDK, for people, such as "vwo-fme-python-sdk 1.65.0"."""
        if self.is_single:
            return "each event says it"
        return " ".join(self.sdk) if self.query is None else spelling.in_words(self.query)

    @property
    def url(self) -> str:
        """URL of a batch request; never logged, since it contains the SDK key.

        For single events it has no query: each has its own.
        """
        region = f"/{self.region.strip('/')}" if self.region else ""
        url = f"{self.origin}{region}{_PATHS[self.generation]}"
        return url if self.is_single else f"{url}?{urlencode(self._pairs())}"

    def _pairs(self) -> list[tuple[str, str]]:
        """Names and values of the whole query, in the order in which the Python SDKs write them."""
        account, key = ("a", str(self.account_id)), ("env", self.sdk_key)
        said = self.said
        if self.generation == "fme":
            return [account, key, *said]
        names = said[: len(said) - len(self.statistics)]
        return [account, *names, key, *self.statistics]

    @property
    def said(self) -> Pairs:
        """Names and values of the query besides account and key; keys in them are not masked."""
        if self.is_single:
            return ()
        if self.query is not None:
            return self.query
        name, version = self.sdk
        if self.generation == "fme":
            return (("sn", name), ("sv", version))
        return (("sdk", name), ("sdk-v", version), *self.usage_stats)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request that differ from the HTTP library's own; an envelope's are added.

        The `User-Agent` is the SDK's name, as the legacy Python SDK sends it. The FME Python SDK
        leaves the library's own, which names Python: wrong for an SDK of another language.
        """
        if self.is_single:
            return {"User-Agent": OWN_AGENT}
        headers = {"Authorization": self.sdk_key, "Content-Type": "application/json"}
        if self.query is not None or self.sdk[0] not in _SDKS_BY_REQUESTS:
            headers["User-Agent"] = self._agent
        return headers

    @property
    def _agent(self) -> str:
        name = self.sdk[0]
        return name if parts.is_label(name) and name else OWN_AGENT

    def __repr__(self) -> str:
        said = "" if self.query is None else f"{self.sdk_words}, "
        return (
            f"Destination({self.generation} account {self.account_id}, "
            f"key {mask(self.sdk_key)}, {self.origin}, {said}queue {self.queue})"
        )


class StoredDestination(Destination, frozen=True, kw_only=True):
    """A destination as it was read from a queue that is not named after it.

    Releases before 0.2 named queues after values that they could not read again, such as None for
    the region; and an operator may have given a queue the destination of another.

    Args:
        name: Name of the queue.
    """

    name: str

    @property
    def queue(self) -> str:
        """Name of the queue that it was stored with."""
        return self.name


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "account_id": parts.read_account,
    "sdk_key": parts.read_key,
    "generation": parts.read_generation,
    "region": parts.read_region,
    "base_url": parts.read_base_url,
    "sdk_name": parts.read_label,
    "sdk_version": parts.read_label,
    "usage_stats": parts.read_usage_stats,
    "query": spelling.read_query,
}
#: The parts that a query stands for.
_REPLACED = ("sdk_name", "sdk_version", "usage_stats")
