"""SDKs get their settings through the relay: from VWO, fetched once for all, and anew by a pull."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tools.relays import ACCOUNT, KEY, RelayServer, relaying
from tools.settings_files import FME, LEGACY, PULL, together
from tools.waiting import wait_until
from vwo_celery.queue.records.copies import FRESH_MS
from vwo_celery.relay.passing.settings_files import host_of
from vwo_celery.relay.reading.request import Request
from vwo_celery.testing import Fault, Standin

pytestmark = pytest.mark.declared_keys("settings", "refresh")


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (LEGACY, "settings"),
        (LEGACY.replace("settings", "pull", 1), "settings"),
        (FME, "fme_settings"),
        (PULL, "fme_settings"),
        ("/eu01" + FME, "fme_settings"),
        ("/eu01" + LEGACY, "settings"),
    ],
)
def test_an_sdk_gets_vwos_bytes(
    relay: RelayServer, vwo: Standin, documents: dict[str, Any], target: str, document: str
) -> None:
    """Each path, also after a region, is answered with VWO's bytes; VWO sees the same target."""
    answer = relay.get(f"{target}&r=0.25")

    assert (answer.status, json.loads(answer.body)) == (200, documents[document])
    assert answer.headers["content-type"] == "application/json"
    assert "x-vwo-celery" not in answer.headers
    assert [request.target for request in vwo.fetches] == [f"{target}&r=0.25"]


def test_a_fresh_copy_spares_vwo_the_request(relay: RelayServer, vwo: Standin) -> None:
    """For a minute VWO is asked once, whatever `r` is, in whatever order, region or not."""
    answers = [relay.get(f"{FME}&r={i}").body for i in range(3)]
    path, _, query = FME.partition("?")
    turned = f"/eu01{path}?r=9&{'&'.join(reversed(query.split('&')))}"
    answers.append(relay.get(turned).body)

    assert len(set(answers)) == len(vwo.fetches) == 1


@pytest.mark.parametrize(
    "other", [FME.replace("1.60.0", "1.61.0"), FME.replace("version=3", "version=1"), LEGACY]
)
def test_whoever_asks_otherwise_gets_an_answer_of_its_own(
    relay: RelayServer, vwo: Standin, other: str
) -> None:
    """VWO's answer depends on the SDK, its version and the interface's: so do the copies."""
    relay.get(FME)
    relay.get(other)

    assert [request.target for request in vwo.fetches] == [FME, other]


@pytest.mark.parametrize(
    "target",
    [
        FME.replace(KEY, "c" * 32),
        FME.replace(ACCOUNT, "7"),
        FME.replace(f"i={KEY}&", ""),
        f"{FME}&a=7",
        f"{FME}&%61=7",
    ],
)
def test_others_get_none(redis_url: str, vwo: Standin, target: str) -> None:
    """Only an account and key of the list get settings; a query that names two accounts gets none."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}, relay_upstream=vwo.url) as relay:
        assert relay.get(FME).status == 200
        answer = relay.get(target)

    assert answer.status == 400
    assert KEY.encode() not in answer.body
    assert len(vwo.fetches) == 1


def test_a_page_gets_settings_if_its_origin_may(redis_url: str, vwo: Standin) -> None:
    """The SDKs for browsers fetch their settings across origins; HEAD and POST are no ways to them."""
    origin = {"Origin": "https://shop.example"}
    with relaying(
        redis_url, relay_upstream=vwo.url, relay_allowed_origins=["https://shop.example"]
    ) as relay:
        preflight, answer = relay.get(FME, origin, "OPTIONS"), relay.get(FME, origin)

        assert (preflight.status, answer.status) == (204, 200)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert relay.get(FME, method="HEAD").status == 405
        assert relay.post(FME, b"{}").status == 405


def test_two_relays_make_one_request(
    redis_url: str, vwo: Standin, age: Callable[..., None]
) -> None:
    """Of two relays with many SDKs each, one fetches a copy that is missing, and one that is due."""
    with (
        relaying(redis_url, relay_upstream=vwo.url) as one,
        relaying(redis_url, relay_upstream=vwo.url) as two,
    ):
        vwo.fail_fetches(Fault(delay_seconds=0.3))
        first = together([one, two] * 4)
        age(FRESH_MS)
        wait_until(lambda: len(vwo.fetches) == 2 or not together([one, two]), what="it is due")
        together([one, two] * 4)

    assert {answer.status for answer in first} == {200}
    assert len(vwo.fetches) == 2


def test_a_pull_asks_vwo_and_renews_all_copies(
    relay: RelayServer, redis_url: str, vwo: Standin, documents: dict[str, Any]
) -> None:
    """After VWO's webhook SDKs get the new settings at once, also others, and through other relays."""
    other = FME.replace("1.60.0", "1.61.0")
    with relaying(redis_url, relay_upstream=vwo.url) as second:
        relay.get(FME)
        second.get(other)
        vwo.fme_settings = documents["fme_settings"] | {"version": 2}

        pulled = json.loads(relay.get(PULL).body)["version"]

        assert pulled == json.loads(relay.get(FME).body)["version"] == 2
        wait_until(
            lambda: json.loads(second.get(FME).body)["version"] == 2, what="the other relay knows"
        )
        wait_until(
            lambda: json.loads(second.get(other).body)["version"] == 2, what="the other copy is new"
        )
    assert len(vwo.fetches) == 4


def test_a_pull_has_no_copy(relay: RelayServer, vwo: Standin) -> None:
    """A pull is never answered from a copy: old settings are what it is not for."""
    relay.get(FME)
    vwo.fail_fetches(503)

    assert relay.get(PULL).status == 503
    assert relay.get(FME).status == 200


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("wingify-fme-php-sdk", "edge.wingify.net"),
        ("vwo-fme-php-sdk", "dev.visualwebsiteoptimizer.com"),
        ("", "dev.visualwebsiteoptimizer.com"),
    ],
)
def test_an_sdks_own_host_is_asked(name: str, host: str) -> None:
    """Without an upstream that host is asked from which the SDK would fetch its settings."""
    query = f"a={ACCOUNT}&i={KEY}&sn={name}".encode()
    scope = {"method": "GET", "path": "/server-side/v2-settings", "query_string": query}

    assert host_of(Request({**scope, "headers": []}, b"")) == host
