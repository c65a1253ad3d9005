"""Users' tests of applications with an SDK: the plugin as it is installed, and both kinds of clients."""

from __future__ import annotations

import json
import os
from importlib.metadata import entry_points
from pathlib import Path

from tools.docs import DOCS
from tools.user_tests import PLUGIN, examples, passed, run_tests, write_files

SDK = os.environ["VWO_CELERY_SDK"]
PAGE = DOCS / "how-to" / "test-your-code.md"
#: The place of a generation's examples on the page.
PLACES = {"fme": "", "legacy": "the environment of the legacy SDK"}
TESTS = {"fme": 8, "legacy": 1}
_LEGACY_DELIVERY = """
import vwo
import vwo_celery

def test_an_attached_client_is_delivered(vwo_inline, vwo_collector, vwo_events):
    client = vwo.launch(open("vwo_settings.json").read())
    vwo_celery.attach(client)
    vwo_collector.fail(503)

    assert client.activate("ab_full", "anna")
    assert not client.flush_events()
    assert vwo_inline.deliver()
    assert client.track("ab_full", "anna", "signup")
    assert client.flush_events()

    assert vwo_events.names == ["activate", "track"]
    assert [batch.status for batch in vwo_collector.batches] == [503, 200, 200]
    assert {batch.path for batch in vwo_collector.batches} == {"/server-side/batch-events"}
    assert vwo_collector.disagreements() == []

def test_a_launch_before_the_test_is_captured(vwo_events):
    client = vwo.launch(
        open("vwo_settings.json").read(), batch_events={"events_per_request": 5}
    )
    client.activate("ab_full", "held by the SDK")
    vwo_celery.attach(client)
    client.activate("ab_full", "anna")

    assert [event.is_of("anna") for event in vwo_events] == [False, True]
"""


def test_the_plugin_is_installed_with_the_package():
    """pytest loads it by its entry point, and a run that names it as well loads it once."""
    found = [point for point in entry_points(group="pytest11") if point.value == PLUGIN]

    assert [point.name for point in found] == [PLUGIN]


def test_the_examples_of_the_page_run_with_this_sdk(tmp_path: Path, captures: Path) -> None:
    """Those of docs/how-to/test-your-code.md, from the installed wheel."""
    write_files(tmp_path, examples(PAGE)[PLACES[SDK]])
    _write_settings(tmp_path, captures)

    assert passed(run_tests(tmp_path)) == TESTS[SDK]


if SDK == "legacy":

    def test_a_legacy_client_is_captured_and_delivered(tmp_path: Path, captures: Path) -> None:
        """What attach finds in the SDK's queue and what comes later is captured, and delivered inline."""
        write_files(tmp_path, {"test_legacy.py": _LEGACY_DELIVERY})
        _write_settings(tmp_path, captures)

        assert passed(run_tests(tmp_path)) == 2


def _write_settings(folder: Path, captures: Path) -> None:
    """The settings of an account, as a user saves them."""
    if SDK == "fme":
        source = DOCS.parent / "examples" / "django" / "vwo_settings.json"
        settings = json.loads(source.read_text("utf-8"))
    else:
        settings = json.loads((captures / "settings_legacy.json").read_text("utf-8"))
    (folder / "vwo_settings.json").write_text(json.dumps(settings), "utf-8")
