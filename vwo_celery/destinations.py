"""Destinations: everything that the events of one batch share in its request line and headers.

Two events fit into one batch only if their destinations are equal, since all parts of a destination
are in the URL, the query or the headers of the request. A queue's name is a digest of its
destination: every process with the same destination finds the same queue, and no key shows. Pure:
nothing to lose.
"""

from __future__ import annotations

import hashlib
from typing import Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from vwo_celery.errors import DestinationError
from vwo_celery.text.masking import mask

Generation = Literal["legacy", "fme"]

#: Hosts of VWO's SDKs: of `vwo.init` and `vwo.launch`, and of `wingify.init` (vendor's Constants).
VWO_HOST = "dev.visualwebsiteoptimizer.com"
WINGIFY_HOST = "collect.wingify.net"
COLLECTION_HOSTS = (VWO_HOST, WINGIFY_HOST)

_PATHS: dict[str, str] = {
    "legacy": "/server-side/batch-events",
    "fme": "/server-side/batch-events-v2",
}
#: Name and version of the newest SDK of each generation, sent where no SDK is attached.
NEWEST_SDK: dict[str, tuple[str, str]] = {
    "legacy": ("vwo-python-sdk", "1.68.2"),
    "fme": ("vwo-fme-python-sdk", "1.65.0"),
}


class Destination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The destination of events.

    Args:
        account_id: VWO account, a number or its digits.
        sdk_key: The environment's SDK key.
        generation: "legacy" (vwo-python-sdk) or "fme" (vwo-fme-python-sdk, wingify-fme-python-sdk).
        region: Collection prefix such as "eu01"; "" for none.
        base_url: Scheme and host; "" for VWO's own.
        sdk_name: Name that the request line carries; "" for the newest SDK of the generation.
        sdk_version: Likewise.
        usage_stats: Legacy only: usage statistics of the query, in wire order, such as
            (("eb", "1"), ("_l", "1")).

    Raises:
        DestinationError: A part is missing or contradicts another.
    """

    account_id: int | str
    sdk_key: str
    generation: Generation
    region: str = ""
    base_url: str = ""
    sdk_name: str = ""
    sdk_version: str = ""
    usage_stats: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.generation not in _PATHS:
            raise DestinationError(
                f'generation must be "legacy" or "fme"; {self.generation!r} was given'
            )
        if isinstance(self.account_id, bool) or not str(self.account_id).isdecimal():
            raise DestinationError(
                f"account_id must be a whole number; {self.account_id!r} was given"
            )
        if not isinstance(self.sdk_key, str) or not self.sdk_key or not self.sdk_key.isprintable():
            raise DestinationError("sdk_key must be the environment's SDK key, a printable text")
        if self.base_url:
            self._check_base_url()

    def _check_base_url(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise DestinationError(
                "base_url must be http://HOST or https://HOST, without a user name; "
                f"its scheme is {parts.scheme!r} and its host {parts.hostname!r}"
            )
        if parts.query or parts.fragment:
            raise DestinationError("base_url must have no query and no fragment")

    def is_alike(self, other: Destination) -> bool:
        """Whether the other has the same host, account and key, so that VWO knows both or neither."""
        return (self.origin, self.region, str(self.account_id), self.sdk_key) == (
            other.origin, other.region, str(other.account_id), other.sdk_key,
        )  # fmt: skip

    @property
    def queue(self) -> str:
        """Name of the queue, such as "fme-888888-1f0c9a2b7d3e"; contains no key."""
        shape = (
            self.generation, self.origin, self.region, str(self.account_id), self.sdk_key,
            *self.sdk, self.usage_stats,
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
        """SDK name and version of the request line."""
        name, version = NEWEST_SDK[self.generation]
        return self.sdk_name or name, self.sdk_version or version

    @property
    def url(self) -> str:
        """URL of a batch request; never logged, since it contains the SDK key."""
        region = f"/{self.region.strip('/')}" if self.region else ""
        return f"{self.origin}{region}{_PATHS[self.generation]}?{urlencode(self._query())}"

    def _query(self) -> list[tuple[str, str]]:
        name, version = self.sdk
        account = ("a", str(self.account_id))
        if self.generation == "legacy":
            return [
                account, ("sdk", name), ("sdk-v", version), ("env", self.sdk_key),
                *self.usage_stats,
            ]  # fmt: skip
        return [account, ("env", self.sdk_key), ("sn", name), ("sv", version)]

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a batch request that differ from the HTTP library's own."""
        headers = {"Authorization": self.sdk_key, "Content-Type": "application/json"}
        if self.generation == "legacy":
            headers["User-Agent"] = self.sdk[0]
        return headers

    def __repr__(self) -> str:
        return (
            f"Destination({self.generation} account {self.account_id}, "
            f"key {mask(self.sdk_key)}, {self.origin}, queue {self.queue})"
        )
