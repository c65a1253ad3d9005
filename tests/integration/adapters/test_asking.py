"""Commands that ask first, where nobody can answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tools.command_line import run_command
from tools.queue_states import HOLDS_SOMETHING, Queues

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released")


@pytest.mark.parametrize(
    "words",
    [
        "purge --all --state ready",
        "dead purge",
        "dead purge --background",
        "dead purge --batch BATCH --event 1",
        "move --from QUEUE --to-account 2",
        "queues forget EMPTY --even-if-used",
    ],
)
def test_without_a_terminal_it_says_what_does_not_ask(
    queues: Queues, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is changed, and the error names --yes; as JSON, too."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)
    queues.fill(queue := queues.add(), 10)
    names = {"QUEUE": queue.name, "EMPTY": queues.add(9).name}
    names["BATCH"] = queues.kill(queue, "VWO answered 413").id
    typed = [names.get(word, word) for word in words.split()]

    found = subprocess.run(  # a program, since click's own runner answers an empty line in old releases
        [sys.executable, "-m", "vwo_celery", "--redis-url", queues.settings.redis_url, *typed, "--json"],
        check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip

    view = queues.view(queue)
    assert found.returncode == 1
    assert json.loads(found.stdout)["error"].endswith("with --yes it does not ask")
    assert (view.ready, view.dead, len(queues.registered)) == (5, 5, 2)


@pytest.mark.parametrize("rate", ["nan", "inf", "0", "-1"])
def test_a_rate_is_a_number_above_nothing(queues: Queues, rate: str) -> None:
    """Neither "nan" nor "inf" is taken for no limit."""
    url = queues.settings.redis_url

    found = run_command(("--redis-url", url, "dead", "redrive", "--rate", rate))

    assert found.exit_code == 2
    assert "--rate" in found.stderr
