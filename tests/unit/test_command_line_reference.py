"""The page about the command line lists every command and option, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

import vwo_celery
from vwo_celery.cli import main
from vwo_celery.operating.doctor.kinds import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
OPTION = re.compile(r"^\| (`-.*?) \| .+ \|$", re.MULTILINE)
FINDINGS = re.compile(r'\bok\(\s*"([^"]+)"')
#: Options of every command, which the page lists once, and click's own options.
COMMON = {"`--redis-url URL`", "`--namespace NAME`", "`--json`"}


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with all its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{path} {name}", command


def written(option: click.Option) -> str:
    """An option in the page's spelling."""
    names = [f"`{name}`" for name in option.opts]
    if not option.is_flag:
        metavar = option.metavar or option.type.name.upper().removesuffix(" RANGE")
        names[-1] = f"`{option.opts[-1]} {metavar}`"
    return ", ".join(names)


def sections() -> dict[str, str]:
    """The page's sections, by their headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_and_option_is_described() -> None:
    """Each command has its section with a table of exactly its options."""
    described = {
        heading.strip("`"): set(OPTION.findall(text))
        for heading, text in sections().items()
        if heading.startswith("`")
    }

    options = {
        path: {written(each) for each in command.params if isinstance(each, click.Option)}
        for path, command in commands(main, "vwo-celery")
    }

    assert described == {path: those - COMMON for path, those in options.items()}


#: Commands that start a Redis of their own, and one that is a screen: it prints no document.
WITHOUT = {"vwo-celery demo", "vwo-celery dev", "vwo-celery top"}


def test_the_common_options_are_those_of_every_command() -> None:
    """All commands have the common options, but for those with a Redis of their own, and a screen."""
    common = set(OPTION.findall(sections()["Options of every command"]))

    assert common == {*COMMON, "`--help`"}
    for path, command in commands(main, "vwo-celery"):
        taken = {written(each) for each in command.params if isinstance(each, click.Option)}
        assert (taken & COMMON == COMMON) == (path not in WITHOUT)


def test_every_check_of_the_doctor_is_described() -> None:
    """The table of checks has exactly the checks of the code."""
    package = Path(vwo_celery.__file__).parent
    sources = (
        *(package / "operating" / "doctor").glob("*.py"),
        package / "cli" / "looks" / "doctor.py",
    )
    text = "\n".join(path.read_text("utf-8") for path in sources)
    coded = set(FINDINGS.findall(text)) | {kind.check for kind in KINDS.values()}

    table = sections()["`vwo-celery doctor`"].partition("| check | looks at |")[2]
    described = set(re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE))

    assert described == coded


def test_no_sentence_of_a_list_of_commands_is_cut_off() -> None:
    """Whoever reads --help at 3 a.m. sees all commands, by what they are for, in whole sentences."""
    for words in ([], ["dead"], ["queues"], ["spool"]):
        text = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).stdout

        assert "..." not in text.partition("Options:")[2]
        assert max(map(len, text.splitlines())) <= 80

    helped = CliRunner().invoke(main, ["--help"]).stdout
    first = helped.partition("What is wrong:")[2].split()
    assert first[0] == "doctor"
    assert set(main.list_commands(click.Context(main))) <= set(helped.split())
