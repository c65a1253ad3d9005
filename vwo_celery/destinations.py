"""Destinations: everything that the events of one batch share in its request line and headers.

Two events fit into one batch only if their destinations are equal, since all parts of a destination
are in the URL, the query or the headers of the request. A queue's name is a digest of its
destination: every process with the same destination finds the same queue, and no key shows. A
worker must be able to read what a producer registers, so only plain values are kept, and all else
is refused at once. Pure: nothing to lose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from vwo_celery.errors import DestinationError
from vwo_celery.text.masking import mask
from vwo_celery.text.plain import plain_integer, plain_text
from vwo_celery.text.wording import shown

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

#: Most digits of an account id: as many as any integer of 64 bits.
_MOST_ACCOUNT_DIGITS = 18
#: Length in characters from which a text is masked in errors.
_LONG_TEXT = 20
_PRINTABLE_ASCII = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_WORD = re.compile(r"[!-~]+")
_REGION = re.compile(r"/?(?!\.)[\w~.-]+(?:/(?!\.)[\w~.-]+)*/?", re.ASCII)
_LABEL = r"[\w-]{1,63}"
_HOST = re.compile(
    rf"(?:{_LABEL}\.)*{_LABEL}\.?|[0-9a-f.]*:[0-9a-f:.]*(?:%25[\w.~-]+)?", re.ASCII | re.IGNORECASE
)
_PATH = re.compile(r"(?:/[\w.~!$&'()*+,;=:@%-]*)*", re.ASCII)


class Destination(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The destination of events.

    None stands for an argument that is left out. Subclasses of str and int, such as Django's
    SafeString and numpy's integers, are kept as plain values.

    Args:
        account_id: VWO account, a number or its digits.
        sdk_key: The environment's SDK key: visible ASCII characters.
        generation: "legacy" (vwo-python-sdk) or "fme" (vwo-fme-python-sdk, wingify-fme-python-sdk).
        region: Collection prefix such as "eu01"; "" for none.
        base_url: Scheme and host; "" for VWO's own.
        sdk_name: Name that the request line carries; "" for the newest SDK of the generation.
        sdk_version: Likewise.
        usage_stats: Legacy only: usage statistics of the query, in wire order, such as
            (("eb", "1"), ("_l", "1")).

    Raises:
        DestinationError: A part is missing, is of another type, or has characters that its place in
            the request cannot carry. The message names the part.
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
        for name, read in _PARTS.items():
            given: Any = getattr(self, name)
            kept = read(name, given)
            if kept is not given:
                msgspec.structs.force_setattr(self, name, kept)

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


# -- the parts: each reader returns the plain value to keep, or raises DestinationError


def _read_generation(name: str, given: Any) -> str:
    text = plain_text(given)
    if text not in _PATHS:
        raise _wrong(name, '"legacy" or "fme"', given)
    return text


def _read_account(name: str, given: Any) -> int | str:
    number, text = plain_integer(given), plain_text(given)
    if number is not None and 0 <= number < 10**_MOST_ACCOUNT_DIGITS:
        return number
    if text and text.isascii() and text.isdecimal() and len(text) <= _MOST_ACCOUNT_DIGITS:
        return text
    raise _wrong(name, "a whole number, or its digits 0 to 9", given)


def _read_key(name: str, given: Any) -> str:
    text = plain_text(given)
    if not text or not _WORD.fullmatch(text):
        # The key itself must not show, nor a slip of the keyboard beside it.
        raise DestinationError(
            f"{name} must be the environment's SDK key, visible ASCII characters without spaces; "
            f"a value of type {type(given).__name__} was given that is not"
        )
    return text


def _read_label(name: str, given: Any) -> str:
    text = "" if given is None else plain_text(given)
    if text is None or not (text == "" or _PRINTABLE_ASCII.fullmatch(text)):
        raise _wrong(name, 'a text of printable ASCII characters, such as "1.65.0"', given)
    return text


def _read_region(name: str, given: Any) -> str:
    text = "" if given is None else plain_text(given)
    if text is None or not (text == "" or _REGION.fullmatch(text)):
        raise _wrong(name, 'a collection prefix such as "eu01"', given)
    return text


def _read_base_url(name: str, given: Any) -> str:
    text = "" if given is None else plain_text(given)
    if text is None:  # what was given may hold a password
        raise DestinationError(
            f"{name} must be a text, http://HOST or https://HOST; a value of type "
            f"{type(given).__name__} was given"
        )
    if text:
        _check_base_url(name, text)
    return text


def _check_base_url(name: str, url: str) -> None:
    needed = f"{name} must be http://HOST or https://HOST, without a user name"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise DestinationError(f"{needed}; host or port cannot be read") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise DestinationError(
            f"{needed}; its scheme is {shown(parts.scheme)} and its host {shown(parts.hostname)}"
        )
    if parts.query or parts.fragment:
        raise DestinationError(f"{name} must have no query and no fragment")
    if not _HOST.fullmatch(parts.hostname) or port == 0:
        raise DestinationError(
            f"{needed}; its host {shown(parts.hostname)} or its port cannot be used (a name with "
            "letters beyond ASCII has a form in ASCII that begins with xn--)"
        )
    if not _WORD.fullmatch(url) or not _PATH.fullmatch(parts.path):
        raise DestinationError(f"{name} must have a path that needs no further quoting (%20)")


def _read_usage_stats(name: str, given: Any) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    pairs = [_read_pair(each) for each in given] if isinstance(given, list | tuple) else [None]
    kept = tuple(pair for pair in pairs if pair is not None)
    if len(kept) < len(pairs):
        raise _wrong(name, 'pairs of printable texts, such as (("eb", "1"), ("_l", "1"))', given)
    return kept


def _read_pair(given: Any) -> tuple[str, str] | None:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        return None
    first, second = plain_text(given[0]), plain_text(given[1])
    if first is None or second is None or not (first + second).isprintable():
        return None
    return first, second


def _wrong(name: str, needed: str, given: Any) -> DestinationError:
    text = plain_text(given)
    # A long text may be an SDK key at the wrong place.
    what = shown(given) if text is None or len(text) < _LONG_TEXT else repr(mask(text))
    return DestinationError(
        f"{name} must be {needed}; {what} of type {type(given).__name__} was given"
    )


_PARTS: dict[str, Callable[[str, Any], Any]] = {
    "account_id": _read_account,
    "sdk_key": _read_key,
    "generation": _read_generation,
    "region": _read_region,
    "base_url": _read_base_url,
    "sdk_name": _read_label,
    "sdk_version": _read_label,
    "usage_stats": _read_usage_stats,
}
