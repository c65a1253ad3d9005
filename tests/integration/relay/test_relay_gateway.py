"""What FME SDKs ask VWO's gateway is passed on, where an operator has named one."""

from __future__ import annotations

import json

import pytest

from tools import http_servers as servers
from tools.relays import ACCOUNT, KEY, relaying
from vwo_celery.testing import Standin

WHO = f"accountId={ACCOUNT}&sdkKey={KEY}"
ASKED = (
    "/get-user-details?userAgent=Mozilla%252F5.0&ipAddress=10.0.0.7",
    f"/check-attribute?attribute=a%2520b&listId=x&{WHO}",
    "/getLocation",
    f"/user-alias/setUserAlias?{WHO}&userId=u&aliasId=b",
    f"/user-alias/getAliasUserId?{WHO}&userId=%5B%22u%22%5D",
    f"/getAliasUserId?{WHO}&userId=%5B%22u%22%5D",
)


@pytest.mark.parametrize("setting", ["relay_gateway_upstream", "relay_upstream"])
@pytest.mark.parametrize("target", ASKED)
def test_it_is_passed_on_as_it_came(redis_url: str, setting: str, target: str) -> None:
    """The gateway gets method and target unchanged, and its answer goes back to the SDK."""
    upstream = {setting: ""}
    with Standin(record=True) as gateway:
        upstream[setting] = gateway.url
        with relaying(redis_url, **upstream) as relay:
            answer = relay.get(target)

        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert [(each.method, each.target) for each in gateway.fetches] == [("GET", target)]


def test_an_alias_is_posted(redis_url: str) -> None:
    """The SDKs POST an alias, with a JSON body."""
    body = b'{"userId": "u", "aliasId": "b"}'
    with Standin() as gateway, relaying(redis_url, relay_gateway_upstream=gateway.url) as relay:
        answer = relay.post(ASKED[3], body, {"Content-Type": "application/json"})

        request = gateway.fetches[0]
    assert json.loads(answer.body) == {"isAliasSet": True}
    assert (request.method, request.body) == ("POST", body)
    assert request.header("Content-Type") == "application/json"


def test_the_gateways_own_upstream_counts(redis_url: str) -> None:
    """Where both are set, the gateway gets these requests, and VWO's stand-in does not."""
    with (
        Standin() as vwo,
        Standin() as gateway,
        relaying(redis_url, relay_upstream=vwo.url, relay_gateway_upstream=gateway.url) as relay,
    ):
        relay.get("/getLocation")

        assert (len(vwo.fetches), len(gateway.fetches)) == (0, 1)


def test_the_clients_address_goes_along(redis_url: str) -> None:
    """The gateway looks places up by address: the client's stands behind those of proxies."""
    headers = {"X-Forwarded-For": "203.0.113.9", "User-Agent": "Shop/1"}
    with Standin() as gateway, relaying(redis_url, relay_gateway_upstream=gateway.url) as relay:
        relay.get("/getLocation", headers)
        relay.get("/getLocation")

        told = [request.header("X-Forwarded-For") for request in gateway.fetches]
        agent = gateway.fetches[0].header("User-Agent")
    assert told == ["203.0.113.9, 127.0.0.1", "127.0.0.1"]
    assert agent == "Shop/1"


def test_without_a_gateway_there_is_no_such_path(redis_url: str) -> None:
    """Where none is named these paths are unknown."""
    with relaying(redis_url) as relay:
        answers = [relay.get(target) for target in ASKED]

    assert {answer.status for answer in answers} == {404}
    assert json.loads(answers[0].body)["message"] == "unknown path"


@pytest.mark.parametrize("target", [target for target in ASKED if KEY in target])
def test_only_the_accounts_of_the_list_are_asked_about(redis_url: str, target: str) -> None:
    """What is about visitors of an account needs a known account and key."""
    with (
        Standin() as gateway,
        relaying(redis_url, accounts={ACCOUNT: [KEY]}, relay_gateway_upstream=gateway.url) as relay,
    ):
        allowed = relay.get(target)
        refused = [relay.get(target.replace(KEY, "c" * 32)), relay.get(target.partition("?")[0])]

        assert len(gateway.fetches) == 1
    assert (allowed.status, [answer.status for answer in refused]) == (200, [400, 400])


@pytest.mark.parametrize(
    "script",
    [
        servers.hanging_up,
        servers.reading_nothing,
        servers.answering(302, Location="http://127.0.0.1/elsewhere"),
        servers.answering(body=b"x" * 1_000_001),
    ],
    ids=["gone", "silent", "redirect", "large"],
)
def test_a_gateway_that_does_not_answer_is_503(redis_url: str, script: servers.Script) -> None:
    """After two seconds, or at once where the gateway fails, an SDK is told so; nothing is followed."""
    with (
        servers.Server(script) as gateway,
        relaying(redis_url, relay_gateway_upstream=gateway.url) as relay,
    ):
        answer = relay.get("/getLocation")

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_the_gateways_own_refusal_is_handed_on(redis_url: str) -> None:
    """What the gateway answers is for the SDK to judge."""
    with (
        servers.Server(servers.answering(429, b'{"message":"slow down"}')) as gateway,
        relaying(redis_url, relay_gateway_upstream=gateway.url) as relay,
    ):
        answer = relay.get("/getLocation")

    assert (answer.status, answer.body) == (429, b'{"message":"slow down"}')
