"""Every block of code of the pages is run, parsed, or says why not; so are the examples of docstrings.

A page's blocks share one namespace, which begins with the names that a reader brings along. Redis is
real, and VWO the stand-in: `vwo.init` is led to it as by the option `proxy_url`.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import vwo
from prometheus_client import CollectorRegistry
from wingify.wingify_builder import WingifyBuilder

import vwo_celery
from tools.blocks import LANGUAGES, Block, blocks_of, examples_in, run_block
from tools.queue_states import Queues
from vwo_celery.demo.account import ACCOUNT_ID, SDK_KEY, vwo_settings
from vwo_celery.sdk.fme import forget_client
from vwo_celery.testing import Standin

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "compose/*.md", "examples/**/*.md", "workers/*.md")
    for path in CHECKOUT.glob(pattern) if path.name != "CHANGELOG.md"
)  # fmt: skip
BLOCKS = {path: list(blocks_of(path)) for path in PAGES}
#: The page whose blocks of Python are files of tests; tests/integration/testing/test_how_to.py runs them.
FILES = CHECKOUT / "docs" / "how-to" / "test-your-code.md"
PACKAGE = Path(vwo_celery.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Blocks that nothing runs. It may only fall: lower it with each that is made to run.
NOT_RUN = 7

pytestmark = pytest.mark.declared_keys("*")


@pytest.fixture(scope="module")
def vwo_standin() -> Iterator[Standin]:
    """VWO for all pages, with the settings of the demo's account."""
    with Standin(settings=vwo_settings(), record=False) as standin:
        yield standin


@pytest.fixture
def given(
    redis_url: str, queues: Queues, vwo_standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What a reader of any page has: an account, events, a client, an application of their own."""
    for name in [name for name in os.environ if name.startswith(("VWO_", "DJANGO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    monkeypatch.setenv("VWO_CELERY_ALLOWED_HOSTS", vwo_standin.netloc)
    monkeypatch.setenv("VWO_ACCOUNT_ID", str(ACCOUNT_ID))
    monkeypatch.setenv("VWO_SDK_KEY", SDK_KEY)
    monkeypatch.setenv("VWO_PROXY_URL", vwo_standin.url)
    monkeypatch.setattr(vwo, "init", led_to(vwo_standin, vwo.init))
    monkeypatch.setattr(vwo_celery, "init", led_to(vwo_standin, vwo_celery.init))
    # Its timers would outlive the page, and write to the terminal once the stand-in is gone.
    monkeypatch.setattr(WingifyBuilder, "check_and_poll", lambda _: None)
    flush = vwo_celery.Queue.flush_events  # no worker is here that could be waited for
    monkeypatch.setattr(vwo_celery.Queue, "flush_events", lambda queue, _: flush(queue, 0))
    destination = vwo_celery.Destination(account_id=ACCOUNT_ID, sdk_key=SDK_KEY, generation="fme")
    event = {"d": {"msgId": "m", "visId": "v", "sessionId": 1, "event": {"name": "n", "time": 1}}}
    given = {
        "__name__": "page", "KEY": SDK_KEY, "SDK_KEY": SDK_KEY, "ID": ACCOUNT_ID, "ACCOUNT": ACCOUNT_ID,
        "DSN": None, "vwo": vwo, "vwo_celery": vwo_celery, "destination": destination, "event": event,
        "events_of_phones": [event],
        "options": {"sdk_key": SDK_KEY, "account_id": ACCOUNT_ID, "proxy_url": vwo_standin.url},
        "INSTALLED_APPS": [], "CELERY_BROKER_URL": redis_url,
        "app": SimpleNamespace(wsgi_app=None, mount=lambda path, app: None),
        "queue": vwo_celery.connect(destination), "headers": {}, "body": b'{"d":{}}',
        "request": SimpleNamespace(user=SimpleNamespace(username="anna")),
        "registry": CollectorRegistry(),
    }  # fmt: skip
    with patch.dict(os.environ):  # a block may set what others read, such as DJANGO_SETTINGS_MODULE
        yield given

    if hasattr(given.get("client"), "flush_events"):  # the SDK's next client is its first again
        forget_client(type(given["client"]).get_instance())


def led_to(standin: Standin, init: Callable[..., Any]) -> Callable[..., Any]:
    """`vwo.init` as on a machine whose way to VWO ends at the stand-in."""

    @functools.wraps(init)
    def init_there(options: Any) -> Any:
        return init({**options, "proxy_url": standin.url})

    return init_there


def to_run(path: Path) -> list[Block]:
    """The blocks of a page that are run here."""
    return [
        each for each in BLOCKS[path]
        if each.instead is None and not (path == FILES and each.language == "python")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if to_run(path)],
    ids=lambda path: str(path.relative_to(CHECKOUT)),
)
def test_the_blocks_of_a_page_run(path: Path, given: dict[str, Any], tmp_path: Path) -> None:
    """In their order, as a reader copies them."""
    for block in to_run(path):
        run_block(block, given, tmp_path)


@pytest.mark.parametrize(
    "block",
    [each for module in MODULES for each in examples_in(module)],
    ids=lambda block: block.path.stem,
)
def test_the_examples_of_docstrings_run(
    block: Block, given: dict[str, Any], tmp_path: Path
) -> None:
    """What `help()` shows works, with the names of its module."""
    place = block.path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(place).removesuffix(".__init__"))

    run_block(block, {**vars(module), **given}, tmp_path)


def test_every_block_names_a_language_that_is_known() -> None:
    """A block without one would be missed."""
    unknown = [
        f"{block.path.relative_to(CHECKOUT)}:{block.line} {block.language!r}"
        for blocks in BLOCKS.values() for block in blocks
        if block.instead is None and block.language not in LANGUAGES
    ]  # fmt: skip

    assert unknown == []


def test_blocks_that_another_test_runs_name_it() -> None:
    """The test is there."""
    named = {block.instead[1] for blocks in BLOCKS.values() for block in blocks
             if block.instead and block.instead[0] == "run by"}  # fmt: skip

    assert named
    assert {each for each in named if not (CHECKOUT / each).exists()} == set()


def test_no_more_blocks_are_left_out() -> None:
    """Each new block runs; whoever makes an old one run lowers the number."""
    left = [block for blocks in BLOCKS.values() for block in blocks
            if block.instead and block.instead[0] == "not run"]  # fmt: skip

    assert len(left) == NOT_RUN


def test_no_timer_of_the_sdk_outlives_a_page(given: dict[str, Any]) -> None:
    """A client that a page makes does not ask for settings later, in the midst of another test."""
    before = set(threading.enumerate())

    given["client"] = vwo.init(given["options"])

    begun = [each.name for each in threading.enumerate() if each not in before]
    assert [name for name in begun if "process_request_thread" not in name] == []  # the stand-in's
