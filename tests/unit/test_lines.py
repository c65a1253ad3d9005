"""Text from outside is safe in terminals, logs and JSON; one place makes it so."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import vwo_celery
from tools.hostile import FORGED, HOSTILE, every_letter, harm, unsafe_letters
from vwo_celery.errors import QueueUnavailable
from vwo_celery.logs import log, sdk_log
from vwo_celery.text.lines import Shown, json_for_terminals, one_line

PACKAGE = Path(vwo_celery.__file__).parent
LOGGERS = {"log", "sdk_log", "seldom", "_seldom", "_once"}
LEVELS = {"debug", "info", "warn", "warning", "error", "critical", "exception"}


class Raising:
    """A value that can be neither shown nor described."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What both loggers write, as `logging.basicConfig` formats it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def test_no_letter_of_unicode_gets_through() -> None:
    """Whatever a terminal obeys or nobody sees is escaped; what people read is left as it is."""
    shown = one_line(every_letter())

    assert unsafe_letters(shown) == ""
    assert one_line("a\x1b[2J\x9b\x7f\n\u202e\u200b\u3164é") == (
        r"a\x1b[2J\x9b\x7f\n\u202e\u200b\u3164é"
    )
    assert one_line("שלום 東京 £5 “ok” 😀") == "שלום 東京 £5 “ok” 😀"


def test_json_keeps_its_meaning() -> None:
    """A document in which they are escaped is read as before."""
    document = json.dumps({HOSTILE: [HOSTILE]}, ensure_ascii=False, indent=2)

    shown = json_for_terminals(document)

    assert json.loads(shown) == {HOSTILE: [HOSTILE]}
    assert harm(shown) == ""


def test_a_value_is_shown_as_text_and_as_code() -> None:
    """`%s` and `%r` of a value, each on one line; a value that raises is named by its type."""
    assert f"{Shown('a' + chr(10))} {Shown('a' + chr(10))!r}" == r"a\n 'a\n'"
    assert harm(f"{Shown(HOSTILE)} {Shown(HOSTILE)!r} {Shown(ValueError(HOSTILE))!r}") == ""
    assert Shown(Raising()) == "an object of type Raising"


@pytest.mark.parametrize("logger", [log, sdk_log], ids=lambda logger: logger.name)
def test_no_value_forges_a_line_of_the_log(written: io.StringIO, logger: logging.Logger) -> None:
    """Texts, errors, their reprs and tracebacks stay within the line or the indentation of theirs."""
    exc = RuntimeError(HOSTILE)
    exc.__cause__ = ValueError(HOSTILE)

    logger.error("%s, %r and %s after %d tries", HOSTILE, exc, exc, 3, exc_info=exc)
    logger.warning("%(name)s", {"name": HOSTILE})

    lines = written.getvalue().splitlines()
    assert harm(written.getvalue()) == ""
    assert lines[0].endswith("after 3 tries")
    assert lines[1].startswith("  ValueError: name")
    assert all(line.startswith(("  ", "ERROR name", "WARNING name")) for line in lines)


def test_our_errors_are_one_line(written: io.StringIO) -> None:
    """Whoever logs or prints one of our errors is safe, too."""
    assert harm(str(QueueUnavailable(HOSTILE))) == ""
    assert "\n" not in str(QueueUnavailable(HOSTILE))


def _log_calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value).rpartition(".")[2]
                if owner in LOGGERS and node.func.attr in LEVELS:
                    yield path, node


def test_every_line_of_the_log_takes_values_as_arguments() -> None:
    """A template is written in the code: only arguments are made safe, and Sentry groups by it."""
    calls = list(_log_calls())
    wrong = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path, call in calls
        if not isinstance(call.args[_place_of_template(call)], ast.Constant)
    ]

    assert wrong == []
    assert len(calls) > 40


def _place_of_template(call: ast.Call) -> int:
    owner = ast.unparse(call.func).split(".")[-2]
    return int(owner not in ("log", "sdk_log"))


def test_only_three_modules_of_the_commands_print() -> None:
    """What commands print goes through what makes it safe; the doctor lays out its own table."""
    printers = set()
    for path in (PACKAGE / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "click.echo", "click.secho") or called.endswith(".print"):
                    printers.add(path.name)

    assert printers == {"output.py", "lines.py", "documents.py", "doctor.py", "session.py"}


def test_the_forged_line_is_one() -> None:
    """The search finds what it is there to find."""
    assert harm(f"a\n{FORGED}\x1b") == f"\x1b{FORGED}\x1b"
