"""Every kind of event of each SDK, through the relay and by the SDK itself: the same arrives."""

from __future__ import annotations

import pytest

from sdk.relay.arrivals import arrivals, batch_queries, kind, kinds, reports, statuses
from sdk.relay.conftest import Start
from sdk.relay.house import USAGE_ACCOUNT, Account, House
from sdk.relay.plans import everything, some
from sdk.relay.sdks import TELLING, Running, Sdk
from vwo_celery.testing import Standin


def _wait_for(standin: Standin, account: Account, count: int, sdk: Running) -> None:
    sdk.wait_until(lambda: len(arrivals(standin, account)) >= count, what=f"{count} events")


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
def test_the_same_arrives_as_the_sdk_sends(
    sdk: Sdk, batched: bool, house: House, start: Start
) -> None:
    """Items, region, key and the SDK's name are what the SDK sends by itself, byte for byte."""
    account, plan = house.account(), everything(sdk.generation)
    batch = {"events": 4, "seconds": 1} if batched else {}
    direct = start(sdk, house.direct.url, account, plan.steps, **batch)
    _wait_for(house.direct, account, len(plan.kinds), direct)

    relayed = start(sdk, house.url, account, plan.steps, **batch)
    _wait_for(house.vwo, account, len(plan.kinds), relayed)

    assert kinds(house.direct, account) == plan.kinds
    sent, came = arrivals(house.direct, account), arrivals(house.vwo, account)
    assert [each.item for each in came] == [each.item for each in sent]
    assert {each.sdk for each in came} == {each.sdk for each in sent}
    assert {each.region for each in (*came, *sent)} == {""}
    assert {each.key for each in came} == {account.key}
    assert statuses(house.vwo, account) == {200}
    assert house.disagreements() == []
    if batched and sdk.batches:
        assert batch_queries(house.vwo, account) == batch_queries(house.direct, account)


def test_the_region_of_an_account_is_kept(sdk: Sdk, house: House, start: Start) -> None:
    """Events go to the region that the SDK's settings name; with a gateway no SDK names it."""
    account, plan = house.account("regional"), some(sdk.generation)
    for standin, url in ((house.direct, house.direct.url), (house.vwo, house.url)):
        running = start(sdk, url, account, plan.steps)
        _wait_for(standin, account, len(plan.kinds), running)

    sent, came = arrivals(house.direct, account), arrivals(house.vwo, account)
    assert [(each.item, each.region) for each in came] == [
        (each.item, each.region) for each in sent
    ]
    if sdk.pointed != "gateway":
        assert {each.region for each in came} == {account.region}


@pytest.mark.parametrize("sdk", TELLING, ids=lambda sdk: sdk.title)
@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
def test_what_an_sdk_tells_of_itself(sdk: Sdk, batched: bool, house: House, start: Start) -> None:
    """That it started, and how it is used, arrives as the SDK sends it by itself."""
    account = house.account("telling")
    batch = {"events": 4, "seconds": 1} if batched else {}
    for standin, url in ((house.direct, house.direct.url), (house.vwo, house.url)):
        running = start(sdk, url, account, [], **batch)
        running.wait_until(
            lambda at=standin: len(reports(at, account, USAGE_ACCOUNT)) >= 2,
            what="what it tells of itself",
        )

    sent = reports(house.direct, account, USAGE_ACCOUNT)
    assert reports(house.vwo, account, USAGE_ACCOUNT) == sent
    assert sorted(kind(item) for item, _ in sent) == ["vwo_fmeSdkInit", "vwo_sdkUsageStats"]
