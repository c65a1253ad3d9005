"""Destinations that say what the SDK said: the query in its own spelling, nothing added, nothing lost."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from vwo_celery.destinations import QUERY_NAMES, Destination
from vwo_celery.errors import DestinationError
from vwo_celery.sending.request_line import masked

KEY = "0123456789abcdef0123456789abcdef"
LEGACY: dict[str, Any] = {"account_id": 888888, "sdk_key": KEY, "generation": "legacy"}
FME: dict[str, Any] = {"account_id": 888888, "sdk_key": KEY, "generation": "fme"}
GO = "wingify-fme-go-sdk"


def query_of(destination: Destination) -> list[tuple[str, str]]:
    """The query of a destination's requests, in the order of the wire."""
    return parse_qsl(urlsplit(destination.url).query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("parts", "query", "sent"),
    [
        (FME, (), "a=888888&env=KEY"),
        (FME, (("sn", ""),), "a=888888&env=KEY&sn="),
        (FME, (("sv", "1.60.0"), ("sn", "")), "a=888888&env=KEY&sn=&sv=1.60.0"),
        (FME, (("pt", "android"), ("sv", "1"), ("i", KEY), ("sn", "vwo")),
         "a=888888&env=KEY&sn=vwo&sv=1&i=KEY&pt=android"),
        (FME, (("sn", "ä & b"),), "a=888888&env=KEY&sn=%C3%A4+%26+b"),
        (LEGACY, (), "a=888888&env=KEY"),
        (LEGACY, (("sd", "java"), ("sv", "1.66.0")), "a=888888&sd=java&sv=1.66.0&env=KEY"),
        (LEGACY, (("_l", "1"), ("sv", "1"), ("sd", "java"), ("eb", "1")),
         "a=888888&sd=java&sv=1&env=KEY&eb=1&_l=1"),
        (LEGACY, (("eb", "1"),), "a=888888&env=KEY&eb=1"),
    ],
    ids=str,
)  # fmt: skip
def test_a_request_says_what_the_sdk_said(
    parts: dict[str, Any], query: tuple[tuple[str, str], ...], sent: str
) -> None:
    """The query has the SDK's names and values in a fixed order, and no other SDK's name."""
    destination = Destination(**parts, query=query)

    assert urlsplit(destination.url).query == sent.replace("KEY", KEY)
    assert sorted(pair for pair in query_of(destination) if pair[0] in QUERY_NAMES) == sorted(query)


@pytest.mark.parametrize(
    ("parts", "query"),
    [
        (FME, (("sn", "vwo-fme-node-sdk"), ("sv", "1.35.0"))),
        (LEGACY, (("sdk", "vwo-node-sdk"), ("sdk-v", "1.73.0"))),
        (LEGACY, (("sdk", "s"), ("sdk-v", "1"), ("eb", "1"), ("ig", "1"), ("_l", "1"))),
    ],
    ids=str,
)
def test_what_names_and_statistics_can_say_is_the_same_destination(
    parts: dict[str, Any], query: tuple[tuple[str, str], ...]
) -> None:
    """One request line has one queue: a query in the Python SDKs' spelling is kept as its parts."""
    name, version = query[0][1], query[1][1]
    known = Destination(**parts, sdk_name=name, sdk_version=version, usage_stats=query[2:])

    spelled = Destination(**parts, query=query[::-1])

    assert spelled == known
    assert (spelled.queue, spelled.url, spelled.headers) == (known.queue, known.url, known.headers)
    assert spelled.query is None


def test_each_spelling_has_a_queue_of_its_own() -> None:
    """Absent is not empty, and no spelling is another: none share a queue, nor with the default."""
    queries = [
        (), (("sn", ""),), (("sv", ""),), (("sn", GO),), (("sd", GO),), (("sdk", GO),), (("eb", "1"),),
        (("sn", ""), ("sv", "")), (("i", "x"),), (("pt", "x"),),
    ]  # fmt: skip
    for parts in (FME, LEGACY):
        all_of_them = [
            Destination(**parts),
            *(Destination(**parts, query=each) for each in queries),
        ]

        assert len({each.queue for each in all_of_them}) == len(all_of_them)
        assert len(set(all_of_them)) == len(all_of_them)


def test_the_order_in_which_a_query_comes_does_not_matter() -> None:
    """Go's SDK writes its names in a random order: they are sorted, so that there is one queue."""
    pairs = (("sn", GO), ("pt", "x"), ("i", "k"))

    first, second = Destination(**FME, query=pairs), Destination(**FME, query=pairs[::-1])

    assert first == second
    assert first.queue == second.queue


@pytest.mark.parametrize(
    "beside", [{"sdk_name": "x"}, {"sdk_version": "1"}, {"usage_stats": (("eb", "1"),)}], ids=str
)
def test_a_query_stands_alone(beside: dict[str, Any]) -> None:
    """A query beside what it replaces is refused: one of the two would be wrong."""
    with pytest.raises(DestinationError, match=r"^query cannot be given beside sdk_name"):
        Destination(**LEGACY, **beside, query=())


def test_errors_of_a_query_name_what_is_wrong() -> None:
    """An unknown name and one given twice are told; a value never, since it may be a key."""
    with pytest.raises(DestinationError, match="'env' was given"):
        Destination(**FME, query=(("env", KEY),))
    with pytest.raises(DestinationError, match="sn was given twice") as refused:
        Destination(**FME, query=(("sn", KEY), ("sn", KEY)))

    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "query", "agent"),
    [
        (FME, (), "vwo-celery"),
        (LEGACY, (), "vwo-celery"),
        (FME, (("sn", ""),), "vwo-celery"),
        (FME, (("sn", "süd"),), "vwo-celery"),
        (FME, (("sn", GO),), GO),
        (LEGACY, (("sd", "vwo-java-sdk"), ("sv", "1")), "vwo-java-sdk"),
        (LEGACY, None, "vwo-python-sdk"),
        (FME, (("sn", "vwo-fme-node-sdk"), ("sv", "1.35.0")), "vwo-fme-node-sdk"),
        (FME, (("sn", "wingify-fme-python-sdk"), ("sv", "1.65.0")), None),
        (FME, None, None),
    ],
    ids=str,
)
def test_no_header_names_another_sdk(
    parts: dict[str, Any], query: tuple[tuple[str, str], ...] | None, agent: str | None
) -> None:
    """The User-Agent is the SDK's name, or ours where it names none: never that of another language."""
    assert Destination(**parts, query=query).headers.get("User-Agent") == agent


def test_a_key_in_a_query_does_not_show() -> None:
    """Android writes the key a second time, as `i`: it shows neither in words nor in a recorded URL."""
    destination = Destination(**FME, query=(("i", KEY), ("pt", "android"), ("sn", "vwo")))

    for text in (repr(destination), destination.sdk_words, str(destination.spelled)):
        assert KEY not in text
    assert "sn=vwo&i=…cdef&pt=android" in repr(destination)
    assert KEY not in masked(destination.url, KEY)


def test_sdk_and_statistics_are_found_in_each_spelling() -> None:
    """What people are shown of the SDK is what the query says, in whichever spelling."""
    java = Destination(**LEGACY, query=(("sd", "java"), ("sv", "1"), ("eb", "1")))
    silent = Destination(**FME, query=())

    assert (java.sdk, java.statistics) == (("java", "1"), (("eb", "1"),))
    assert java.sdk_words == "sd=java&sv=1&eb=1"
    assert (silent.sdk, silent.sdk_words) == (("", ""), "no SDK name")


def test_a_query_is_kept_as_json() -> None:
    """Any process reads back the same destination."""
    destination = Destination(**FME, query=[["sn", ""]])  # type: ignore[arg-type]

    text = msgspec.json.encode(destination)

    assert msgspec.json.decode(text, type=Destination) == destination
    assert hash(msgspec.json.decode(text, type=Destination)) == hash(destination)
