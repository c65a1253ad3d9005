"""Destinations: plain values are kept, None is left out, and all else is refused by name."""

from __future__ import annotations

import enum
from typing import Any

import msgspec
import pytest

import vwo_celery
from vwo_celery import aio
from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError

KEY = "0123456789abcdef0123456789abcdef"
PARTS: dict[str, Any] = {"account_id": 888888, "sdk_key": KEY, "generation": "fme"}


class Text(str):
    """As Django's SafeString: str() of it is itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class Number(int):
    pass


class Sdk(str, enum.Enum):
    FME = "fme"


class LikeNumpy:
    """A whole number that is no int, as numpy.int64 is."""

    def __int__(self) -> int:
        return 888888


class Lazy:
    """Claims to be text, as a SimpleLazyObject does."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


def plain(destination: Destination) -> Any:
    """The destination as any worker reads it from Redis."""
    return msgspec.json.decode(msgspec.json.encode(destination), type=Destination)


@pytest.mark.parametrize(
    "name", ["region", "base_url", "sdk_name", "sdk_version", "usage_stats", "query"]
)
def test_none_is_left_out(name: str) -> None:
    """None for an optional part is the same destination, and queue, as without it."""
    without, given = Destination(**PARTS), Destination(**PARTS, **{name: None})

    assert given == without
    assert given.queue == without.queue
    assert plain(given) == without


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("account_id", Number(888888), 888888),
        ("account_id", Text("888888"), "888888"),
        ("sdk_key", Text(KEY), KEY),
        ("generation", Text("fme"), "fme"),
        ("generation", Sdk.FME, "fme"),
        ("region", Text("eu01"), "eu01"),
        ("base_url", Text("https://relay.example:8443/vwo"), "https://relay.example:8443/vwo"),
        ("sdk_name", Text("my-sdk"), "my-sdk"),
        ("sdk_version", Text("1.0"), "1.0"),
        ("usage_stats", [[Text("eb"), Text("1")]], (("eb", "1"),)),
    ],
    ids=str,
)
def test_subclasses_are_made_plain(name: str, given: Any, kept: Any) -> None:
    """A value of a subclass is kept as a plain one, so that JSON can carry it and hash does."""
    destination = Destination(**{**PARTS, name: given})

    value = getattr(destination, name)
    assert value == kept
    assert type(value) is type(kept)
    assert plain(destination) == destination
    assert hash(destination) == hash(plain(destination))


def test_whole_numbers_of_other_libraries_are_made_plain() -> None:
    """A number that is registered as Integral, as numpy's are, is kept as an int."""
    import numbers

    numbers.Integral.register(LikeNumpy)

    destination = Destination(**{**PARTS, "account_id": LikeNumpy()})

    assert type(destination.account_id) is int
    assert destination == Destination(**PARTS)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("account_id", None),
        ("account_id", True),
        ("account_id", 1.0),
        ("account_id", -1),
        ("account_id", ""),
        ("account_id", " 1"),
        ("account_id", "1\n"),
        ("account_id", "٨٨٨"),
        ("account_id", "²"),
        ("account_id", 10**5000),
        ("account_id", "9" * 5000),
        ("sdk_key", None),
        ("sdk_key", ""),
        ("sdk_key", KEY.encode()),
        ("sdk_key", 12345),
        ("sdk_key", Lazy()),
        ("sdk_key", f"{KEY}\n"),
        ("sdk_key", f" {KEY}"),
        ("sdk_key", f"{KEY}\U0001f511"),
        ("sdk_key", "schlüssel"),
        ("sdk_key", "\ud800"),
        ("generation", None),
        ("generation", "FME"),
        ("generation", ["fme"]),
        ("region", 1),
        ("region", ["eu01"]),
        ("region", "eu01?x=1"),
        ("region", "eu01#"),
        ("region", "eu 01"),
        ("region", "eu01\r\nHost: x"),
        ("region", ".."),
        ("region", "eu01/../as01"),
        ("region", "http://x"),
        ("region", "eü01"),
        ("base_url", 1),
        ("base_url", b"https://host"),
        ("base_url", "host"),
        ("base_url", "ftp://host"),
        ("base_url", "https://"),
        ("base_url", "https://user:secret@host"),
        ("base_url", "https://@host"),
        ("base_url", "https://host?x=1"),
        ("base_url", "https://host#x"),
        ("base_url", "https://ho st"),
        ("base_url", "https://host\n"),
        ("base_url", "https://hö.example"),
        ("base_url", "https://host/ü"),
        ("base_url", "https://a..b"),
        ("base_url", "https://host:99999"),
        ("base_url", "https://host:0"),
        ("base_url", "https://host:x"),
        ("base_url", "https://[::1"),
        ("sdk_name", 1),
        ("sdk_name", "my\nsdk"),
        ("sdk_name", "mein-süd-sdk"),
        ("sdk_version", 1.65),
        ("sdk_version", (1, 65)),
        ("usage_stats", {"eb": 1}),
        ("usage_stats", "eb"),
        ("usage_stats", (("eb", 1),)),
        ("usage_stats", (("eb",),)),
        ("usage_stats", ("eb",)),
        ("usage_stats", (("eb", "\ud800"),)),
        ("usage_stats", 1),
        ("query", "sn=x"),
        ("query", {"sn": "x"}),
        ("query", (("sn", 1),)),
        ("query", (("sn",),)),
        ("query", (("sn", "x\n"),)),
        ("query", (("env", "x"),)),
        ("query", (("a", "1"),)),
        ("query", (("SN", "x"),)),
        ("query", (("sn", "x"), ("sn", "x"))),
    ],
    ids=lambda part: ascii(part)[:30] if isinstance(part, str) else type(part).__name__,
)
def test_what_a_request_cannot_carry_is_refused_by_name(name: str, given: Any) -> None:
    """Any other type or character is a DestinationError that names the part, whatever is given."""
    with pytest.raises(DestinationError, match=f"^{name} must "):
        Destination(**{**PARTS, name: given})


@pytest.mark.parametrize("name", ["account_id", "region", "sdk_name", "generation", "sdk_key"])
def test_an_error_shows_no_key(name: str) -> None:
    """Arguments that were swapped, or a key with a stray character, do not show the key."""
    wrong = f"{KEY}\t" if name in ("sdk_name", "sdk_key") else f"{KEY}?"

    with pytest.raises(DestinationError) as refused:
        Destination(**{**PARTS, name: wrong})

    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://dev.visualwebsiteoptimizer.com", "http://127.0.0.1:8099", "http://[::1]:80/",
        "HTTPS://Relay.Example/a/b%20c/", "http://my_relay", "https://xn--h-1ga.example.",
    ],
)  # fmt: skip
def test_hosts_and_paths_that_work_are_taken(base_url: str) -> None:
    """Names, addresses, ports and paths are taken as they are."""
    assert Destination(**PARTS, base_url=base_url).base_url == base_url


def test_the_names_of_queues_stay() -> None:
    """A queue's name is the same in every release, else events wait in a queue that nobody fills."""
    fme = Destination(**PARTS, region="eu01")
    legacy = Destination(
        account_id="60781", sdk_key=KEY, generation="legacy", usage_stats=(("eb", "1"),)
    )

    assert fme.queue == "fme-888888-ee1482bded7b"
    assert legacy.queue == "legacy-60781-dd65da1ddef6"


def test_a_space_in_a_path_is_not_blamed_on_the_host() -> None:
    """A character that its path cannot carry is told of the path, not of the host or port."""
    with pytest.raises(DestinationError, match="path that needs no further quoting"):
        Destination(**PARTS, base_url="https://proxy.example/a b")


@pytest.mark.parametrize("given", [None, PARTS], ids=["None", "a dict"])
def test_connect_says_what_a_destination_is(given: Any) -> None:
    """What is no Destination is refused by its type; its values, such as a key, do not show."""
    for connect in (vwo_celery.connect, aio.connect):
        with pytest.raises(DestinationError, match=r"takes a vwo_celery\.Destination") as caught:
            connect(given)

        assert type(given).__name__ in str(caught.value)
        assert KEY not in str(caught.value)
