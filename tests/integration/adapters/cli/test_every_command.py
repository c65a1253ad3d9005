"""What holds for every command: options, usage errors, no Redis, terminals, and how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import click
import pytest

from tools.command_line import NOWHERE, Run, document
from tools.queue_states import HOLDS_SOMETHING, Queues

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")
COMMANDS = (
    ("status",), ("queues",), ("ledger",), ("flush",), ("pause", "--all"), ("resume", "--all"),
    ("dead", "list"), ("dead", "redrive"), ("dead", "purge", "--yes"),
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_without_redis_there_is_one_clear_line(
    bare: Run, words: tuple[str, ...], as_json: bool
) -> None:
    """Without Redis, one line says what was tried, what is true and what to do; exit code 1."""
    result = bare(*words, "--redis-url", NOWHERE, *(["--json"] if as_json else []))

    text = document(result)["error"] if as_json else result.stderr
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "redis://…@127.0.0.1:1/0 cannot be used" in text
    assert "--redis-url" in text
    assert "sekrit" not in result.output
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--redis-url", "http://:sekrit@x"), "redis_url must be"),
        (("--redis-url", "redis://:sekrit@localhost:port/0"), "cannot be used"),
        (("--redis-url", "redis+cluster://:sekrit@127.0.0.1:1"), "cannot be used"),
        (("--namespace", "a b"), "namespace must be"),
    ],
)
def test_wrong_settings_are_one_clear_line(bare: Run, words: tuple[str, ...], message: str) -> None:
    """Wrong settings are one clear line, in every command."""
    result = bare("status", *words)

    assert result.exit_code == 1
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert "sekrit" not in result.output


def test_options_may_stand_before_and_after_the_command(
    queues: Queues, bare: Run, redis_url: str
) -> None:
    """Options may stand before and after the command; the nearer one wins."""
    queue = queues.add()
    words = ("--redis-url", redis_url)

    before = document(bare(*words, "--json", "ledger"))
    after = document(bare("--redis-url", NOWHERE, "ledger", *words, "--json"))
    of_group = document(bare(*words, "--json", "dead", "list"))

    assert [row["queue"] for row in before] == [row["queue"] for row in after] == [queue.name]
    assert of_group == []


def test_an_unknown_queue_is_an_error(queues: Queues, run: Run) -> None:
    """An unknown queue is an error with the nearest name, in every command that takes a queue."""
    queue = queues.add(888888)

    for command in ("status", "queues", "ledger", "flush", "pause", "resume"):
        result = run(command, "--queue", "fme-8888")
        assert result.exit_code == 1
        assert f"did you mean '{queue.name}'?" in result.stderr
        assert "; 1 queue is, see: vwo-celery queues" in result.stderr


@pytest.mark.parametrize(
    "words",
    [("nope",), ("flush", "--wait", "-1"), ("status", "--nope"), ("dead", "list", "--limit", "0")],
)
def test_wrong_usage_exits_2(run: Run, words: tuple[str, ...]) -> None:
    """Wrong usage exits with 2; with --json, the error is a JSON document."""
    result, shape = run(*words), run("--json", *words)

    assert (result.exit_code, shape.exit_code) == (2, 2)
    assert set(document(shape)) == {"error"}


def test_control_characters_do_not_reach_the_terminal(queues: Queues, run: Run) -> None:
    """Control characters are not printed: data from Redis or VWO must not move an operator's cursor."""
    queues.shard(queues.add()).pause("\x1b[2J\x1b]0;pwned\x07 [bold]text[/bold]")

    shown = run("status").stdout

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]text[/bold]" in shown


def test_ctrl_c_before_a_command_begins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C that comes before click runs the command ends it as later: no traceback, exit 1."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "main", interrupted)
    result = run("status", "--json")

    assert (result.exit_code, document(result)) == (1, {"error": "interrupted"})


def test_the_installed_command_works(redis_url: str) -> None:
    """The installed command works as a program, even on a terminal that knows only ASCII."""
    env = {**os.environ, "VWO_CELERY_REDIS_URL": redis_url, "PYTHONIOENCODING": "ascii"}
    program = "from vwo_celery.cli import main; main(prog_name='vwo-celery')"

    ran = subprocess.run(
        [sys.executable, "-c", program, "doctor"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    version = subprocess.run(
        [sys.executable, "-c", program, "--version"],
        env=env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert ran.returncode == 1
    assert "no worker listens" in ran.stdout
    assert [line for line in ran.stderr.splitlines() if not line.startswith("still looking")] == []
    assert re.fullmatch(r"vwo-celery, version \d+\.\d+\.\d+\S*\n", version.stdout)
