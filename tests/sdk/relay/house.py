"""Redis, a Celery worker, the relay and two stand-ins for VWO, which all tests of a run share.

Events come to one stand-in through the relay, and from the SDKs themselves to the other, which is
what they are compared with. Each test has an account of its own, by which its events are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from tools.installation import Installation
from tools.processes import Process
from tools.relays import stored
from vwo_celery.testing import RedisServer, Request, Standin, free_port

#: Accounts of a run, and of those that have a region.
_ACCOUNTS = range(900_000, 900_400)
_REGIONAL = range(900_400, 900_450)
#: Accounts whose SDKs report that they have started, and how they are used.
_TELLING = range(900_450, 900_500)
REGION = "eu01"
_ALL = (*_ACCOUNTS, *_REGIONAL, *_TELLING)
#: Account of VWO's own, which the SDKs report their usage to.
USAGE_ACCOUNT = 777

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


class Account(msgspec.Struct, frozen=True):
    """An account of one test.

    Attributes:
        number: VWO account.
        key: SDK key.
        region: Collection prefix, "" for none.
    """

    number: int
    key: str
    region: str = ""


def _key(account: int) -> str:
    return f"{account:032d}"


class House:
    """What runs during all tests.

    Attributes:
        direct: The stand-in for VWO that SDKs send to by themselves.
        vwo: The one that the workers send to.
        relay: The relay.
    """

    def __init__(self, folder: Path, redis: RedisServer, direct: Standin, vwo: Standin) -> None:
        self._folder = folder
        self.direct, self.vwo = direct, vwo
        self.port = free_port()
        self.installation = Installation(redis.url, vwo, folder)
        self.relay = self.make_relay(self.port)
        self._plain = iter(_ACCOUNTS)
        self._regional = iter(_REGIONAL)
        self._telling = iter(_TELLING)

    @property
    def url(self) -> str:
        """The relay's."""
        return self.at(self.port)

    def at(self, port: int) -> str:
        """URL of a relay by its port."""
        return f"http://127.0.0.1:{port}"

    def stored(self, account: Account) -> int:
        """Number of an account's events in Redis."""
        queues = stored(self.installation.redis_url).items()
        number = str(account.number)
        return sum(len(events) for at, events in queues if str(at.account_id) == number)

    def account(self, kind: Literal["plain", "regional", "telling"] = "plain") -> Account:
        """An account that no other test has: with a region, or one whose SDKs tell of themselves."""
        numbers = {"plain": self._plain, "regional": self._regional, "telling": self._telling}
        number = next(numbers[kind])
        return Account(number, _key(number), REGION if kind == "regional" else "")

    def disagreements(self) -> list[str]:
        """What events say otherwise than their request lines, at both stand-ins.

        With a gateway no SDK names the region: that is not held against it here.
        """
        found = [*self.direct.disagreements(), *self.vwo.disagreements()]
        return [each for each in found if "is of region" not in each]

    def make_relay(self, port: int, **settings: str) -> Process:
        """A relay that is not started yet."""
        accounts = self._folder / "accounts.json"
        listed = {str(number): {"keys": [_key(number)]} for number in _ALL}
        accounts.write_text(json.dumps(listed))
        return Process(
            "python", "-m", "vwo_celery", "relay", "--listen", f"127.0.0.1:{port}",
            "--accounts", str(accounts), "--upstream", self.vwo.url,
            folder=self._folder, name=f"relay-{port}", stop_timeout_seconds=20,
            env={**self.installation.env, "VWO_CELERY_RELAY_REQUEST_TIME_INTERVAL": "1", **settings},
        )  # fmt: skip


def settings_of(request: Request) -> dict[str, Any]:
    """What VWO answers an account's SDK that asks for its settings."""
    generation = "fme" if "/v2-" in request.path else "legacy"
    settings: dict[str, Any] = json.loads((CAPTURES / f"settings_{generation}.json").read_text())
    account = int(request.query["a"])
    settings |= {"accountId": account, "sdkKey": request.query["i"]}
    if account in _REGIONAL:
        settings["collectionPrefix"] = REGION
    if generation == "fme" and "sn" not in request.query:
        del settings["sdkMetaInfo"]  # which Node's 1.18 refuses
    if account in _TELLING:
        settings |= {"usageStatsAccountId": USAGE_ACCOUNT, "sdkMetaInfo": {}}
    return settings


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """Start everything, and end it."""
    accounts = {number: _key(number) for number in _ALL}
    regions = {number: REGION if number in _REGIONAL else "" for number in accounts}
    with ExitStack() as running:
        redis = running.enter_context(RedisServer())
        direct, vwo = (
            running.enter_context(
                Standin(
                    accounts=accounts,
                    regions=regions,
                    settings=settings_of,
                    fme_settings=settings_of,
                )
            )
            for _ in range(2)
        )
        house = House(folder, redis, direct, vwo)
        running.callback(house.installation.stop)
        house.installation.worker("--concurrency=2")
        running.enter_context(house.relay)
        house.relay.wait_for_port(house.port)
        yield house
