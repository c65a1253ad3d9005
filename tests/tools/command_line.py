"""The operator's command within the test's own process."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from click.testing import CliRunner, Result

from vwo_celery.cli import main
from vwo_celery.cli.celery_command import vwo

Run = Callable[..., Result]
#: An address where no Redis listens, with a password that nothing may show.
NOWHERE = "redis://:sekrit@127.0.0.1:1/0"
#: Words that make click 8.1 keep stderr apart from stdout, as 8.2 and newer do by themselves.
_APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
)


def run_command(words: Sequence[str], text: str | None = None, **env: str | None) -> Result:
    """`vwo-celery` with these words, *text* typed into it, and these variables; None for none."""
    return CliRunner(**_APART).invoke(main, words, input=text, env=env, prog_name="vwo-celery")


def run_celery_vwo(words: Sequence[str]) -> Result:
    """`celery vwo` with these words."""
    return CliRunner(**_APART).invoke(vwo, words)


def document(result: Result) -> Any:
    """The single JSON document that was printed."""
    return json.loads(result.stdout)


def flat(text: str) -> str:
    """*text* with each run of line breaks and spaces as one space."""
    return re.sub(r"\s+", " ", text)
