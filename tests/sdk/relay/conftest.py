"""The house, which is started once for all tests of a run, and ways to run an SDK in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sdk.relay.house import Account, House, open_house
from sdk.relay.sdks import NODE_LEGACY, PYTHON_FME, SDKS, Running, Sdk, missing, program

Step = Sequence[Any]
Start = Callable[..., Running]


#: The SDKs that the short form runs everything with; the others send every kind of event in it.
_IN_SHORT = (NODE_LEGACY, PYTHON_FME)
_OF_ALL = "test_the_same_arrives_as_the_sdk_sends"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to run without the environments of the SDKs; leave out what the short form does not run."""
    if missing():
        raise pytest.UsageError(f"made by tests/sdk/relay/run.sh, and missing: {missing()}")
    if os.environ.get("VWO_CELERY_SDK_SHORT"):
        left_out = [item for item in items if not _is_short(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_short(item)]


def _is_short(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    sdk = item.callspec.params["sdk"]
    return item.originalname == _OF_ALL or sdk in _IN_SHORT


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything that runs beside the SDKs."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(params=SDKS, ids=lambda sdk: sdk.title)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Each SDK in turn."""
    sdk: Sdk = request.param
    return sdk


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an SDK's program; it ends with the test."""
    with ExitStack() as running:

        def run(
            sdk: Sdk, url: str, account: Account, steps: Sequence[Step], **batch: Any
        ) -> Running:
            plan = {
                "account": account.number,
                "key": account.key,
                "steps": steps,
                "batch": batch or None,
            }
            name = f"{sdk}-{len(list(tmp_path.iterdir()))}"
            return running.enter_context(program(sdk, url, plan, folder=tmp_path, name=name))

        yield run
