"""`vwo-celery dead export` and `import`: dead letters to a file, and back from one.

An export removes only what is in the file, once that is safe on the disk. An import may be repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click
import msgspec

from vwo_celery.cli.dead.choosing import Choice, Words, filters
from vwo_celery.cli.dead.group import dead
from vwo_celery.cli.shared.bulk import progress, spelled
from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import say
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.operating import operations
from vwo_celery.operating.looks import inspector
from vwo_celery.operating.operations import Exported, Imported
from vwo_celery.text.amounts import count

_STREAM = "-"


@dead.command("export")
@filters
@click.option(
    "--output", required=True, metavar="FILE",
    help="A new file, which only its owner may read; - for standard output.",
)  # fmt: skip
@click.option(
    "--remove", is_flag=True,
    help="Drop what is in the file, once it is safe on the disk; counted as dropped (exported).",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def export(context: click.Context, /, output: str, remove: bool, **options: Any) -> None:
    """Write dead letters to a file, one line of JSON a batch, with all their events unchanged.

    All of them, unless filtered. Events may hold the SDK key, and tell of visitors. What dies while it
    is written is left out.
    """
    session, words = context.ensure_object(Session), Words.taken_from(options)
    if output == _STREAM and (remove or session.json):
        raise click.UsageError(
            "standard output holds the lines; --remove and --json need --output FILE, since nothing is "
            "removed that is not safe in a file"
        )
    choice = Choice(session, words)
    choice.until_ms = session.fleet.now_ms()
    choice.check_batches()
    with progress(session, "batches", goes_on=False) as (brake, step):
        result = operations.export_dead(
            session.fleet, session.actor, choice.registered, choice,
            None if output == _STREAM else Path(output),
            out=_write, remove=remove, filter=str(choice.filter), brake=brake,
            watch=lambda written: step(written.batches),
        )  # fmt: skip
        sys.stdout.flush()  # before it is said to be written
    if session.json:
        print_json(msgspec.to_builtins(result))
    else:
        _say_exported(result, output, remove=remove)
    choice.say_rest(context)
    if result.stopped or result.left.batches:
        context.exit(1)


def _write(line: bytes) -> None:
    """Write to standard output, which is a stream of text alone where Django has redirected it."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(line.decode("utf-8"))
    else:
        stream.write(line)


def _say_exported(result: Exported, output: str, *, remove: bool) -> None:
    """Say it on stderr, since the lines may be on stdout."""
    if result.stopped and not result.written.batches:
        print_line("stopped; no file was written, and nothing removed", err=True, fg="yellow")
        return
    where = "standard output" if output == _STREAM else output
    print_line(f"{spelled(result.written)} written to {where}", err=True)
    if remove:
        print_line(f"{spelled(result.removed)} removed; they are in the file", err=True)
    if result.stopped and remove:
        print_line(
            "stopped; the others are in the file and dead letters, too", err=True, fg="yellow"
        )
    if result.left.batches:
        print_line(
            f"{spelled(result.left)} left out: events of them are gone from Redis",
            err=True,
            fg="red",
        )


@dead.command("import")
@click.argument("file", metavar="FILE")
@click.option(
    "--queue", metavar="QUEUE", default="",
    help="The queue that they go to.  [default: the one that each batch was in]",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def import_(context: click.Context, file: str, queue: str) -> None:
    """Make dead letters of the batches in a file of `dead export`; - reads standard input.

    Each batch comes back once, also if the same file is imported again, and is a dead letter until it
    is redriven. A line that was cut off or edited is told by its number, and nothing of it imported.
    Exits 1 if there is one.
    """
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    if queue:
        inspector.choose(found.readable, [queue], found.unreadable)
    with _opened(file) as lines, progress(session, "batches") as (brake, step):
        result = operations.import_dead(
            session.fleet, session.actor, found.readable, lines, queue=queue,
            most_dead_events=session.settings.max_dead_events, brake=brake,
            watch=lambda so_far: step(so_far.imported.batches + so_far.present.batches),
        )  # fmt: skip
    if session.json:
        print_json(msgspec.to_builtins(result))
    else:
        _say_imported(result)
    if result.refused_lines or result.stopped:
        context.exit(1)


def _say_imported(result: Imported) -> None:
    hint = "; to send them: vwo-celery dead redrive" if result.imported.batches else ""
    say(f"{spelled(result.imported)} imported as dead letters{hint}")
    if result.present.batches:
        say(f"{spelled(result.present)} there already, or imported lately; left as they are")
    for each in result.refused:
        say(f"line {each.line} not imported: {each.why}", "bold red")
    more = result.refused_lines - len(result.refused)
    if more > 0:
        say(f"and {count(more, 'further line')} not imported", "bold red")
    if result.stopped:
        say("stopped; the same command goes on from there", "yellow")


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if file == _STREAM:
        yield cast("BinaryIO", sys.stdin.buffer)
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115
    except OSError as exc:
        raise click.ClickException(f"{file} cannot be read: {exc.strerror}") from exc
    with opened:
        yield opened
