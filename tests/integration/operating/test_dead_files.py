"""Dead letters to a file and back: nothing lost, nothing doubled, whatever the disk or a person does."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from tools.queue_states import HOLDS_SOMETHING, KEY, Queues
from vwo_celery import Queue
from vwo_celery.operating import operations
from vwo_celery.operating.batches.filters import Filter
from vwo_celery.operating.batches.finding import find_dead
from vwo_celery.operating.past.audit import Actor, changes
from vwo_celery.queue.handling import moving
from vwo_celery.queue.looks import places
from vwo_celery.queue.words.batches import Batch

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "births", "released", "leaving", "arrived")
Run = Callable[..., Result]
#: Events of other programs: text beyond ASCII, escapes, bytes that are no UTF-8.
STRANGE = [
    '{"n":"ü\\ud83d 😀 \\u2028"}'.encode(), b'{"n":"\xff\xfe"}', b"not JSON \x00\x1b[31m", b'"',
    b"\\", b"",
]  # fmt: skip


def kill_all(queues: Queues, queue: Queue) -> None:
    """Make a dead letter of each ready batch."""
    shard = queues.shard(queue)
    while isinstance(batch := shard.claim(token="", lease_seconds=60), Batch):
        assert shard.dead_letter(batch, error="VWO answered 413")


def contents(queues: Queues, queue: Queue) -> dict[str, list[bytes]]:
    """The events of each dead letter, as they lie in Redis."""
    shard = queues.shard(queue)
    names = places.page_of(shard, "dead")
    return {name: queues.client.lrange(shard.keys.batch(name), 0, -1) for name in names}


def story(queues: Queues, queue: Queue) -> dict[bytes, tuple[bytes, float]]:
    """What is known of each dead letter, but for the time of its sealing: its line, and when it died."""
    keys = queues.shard(queue).keys
    lines = queues.client.hgetall(keys.info)
    died = dict(queues.client.zrange(keys.dead, 0, -1, withscores=True))
    found = {}
    for name, line in lines.items():
        parts = line.split(b":")
        found[name] = (b":".join([*parts[:5], *parts[6:]]), died[name])
    return found


def test_export_purge_import_redrive(queues: Queues, run: Run, tmp_path: Path) -> None:
    """What comes back from a file is byte for byte what was there, with its story, and is sent once."""
    queue = queues.add()
    queues.fill(queue, 10)
    queues.client.lpush(queues.shard(queue).keys.open, *STRANGE)
    queues.shard(queue).sweep(force=True, idle_ms=1)
    kill_all(queues, queue)
    before, known = contents(queues, queue), story(queues, queue)
    file = tmp_path / "dead.jsonl"

    exported = run("dead", "export", "--output", str(file))
    assert run("dead", "purge", "--yes").exit_code == 0
    assert contents(queues, queue) == {}
    imported = run("dead", "import", str(file))

    assert (exported.exit_code, imported.exit_code) == (0, 0), imported.output
    assert f"16 events in 4 batches written to {file}" in exported.stderr
    assert "16 events in 4 batches imported as dead letters" in imported.stdout
    assert contents(queues, queue) == before
    assert story(queues, queue) == known
    assert queues.view(queue).ledger.balanced
    assert run("dead", "redrive").exit_code == 0
    sent: list[bytes] = []
    while isinstance(batch := queues.shard(queue).claim(token="", lease_seconds=60), Batch):
        sent += queues.shard(queue).read(batch)
        assert queues.shard(queue).ack(batch.id)
    assert sorted(sent) == sorted(event for events in before.values() for event in events)
    again = run("dead", "import", str(file))
    assert "0 events in 0 batches imported" in again.stdout
    assert "16 events in 4 batches there already, or imported lately" in again.stdout


def test_the_file_holds_the_batch_and_no_key(queues: Queues, run: Run, tmp_path: Path) -> None:
    """A line has the header and the events as texts; only its owner may read the file."""
    queue = queues.add()
    queues.fill(queue, 5)
    batch = queues.kill(queue, "VWO answered 413")
    file = tmp_path / "dead.jsonl"

    run("dead", "export", "--output", str(file))

    (line,) = map(json.loads, file.read_text().splitlines())
    header = {
        "version": 1, "queue": queue.name, "batch": batch.id, "events": 5, "attempts": 1,
        "reason": "VWO answered 413",
    }  # fmt: skip
    assert {**line, **header} == line
    assert line["raw"] == [f'{{"n":{n}}}' for n in range(5)]
    assert line["destination"]["account_id"] == "1"
    assert KEY not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_in_the_file_is_removed(queues: Queues, run: Run, tmp_path: Path) -> None:
    """--remove drops what is in the file, counted with its reason, and nothing else."""
    queue = queues.add()
    queues.fill(queue, 15)
    queues.kill(queue, "VWO answered 413")
    kept = queues.kill(queue, "VWO answered 400")
    file = str(tmp_path / "dead.jsonl")

    result = run("dead", "export", "--output", file, "--remove", "--filter", "reason:413", "--json")

    view = queues.view(queue)
    assert json.loads(result.stdout)["removed"] == {"batches": 1, "events": 5}
    assert [*contents(queues, queue)] == [kept.id]
    assert view.dropped == {"exported": 5}
    assert view.ledger.balanced
    told = [(each.command, each.filter, each.done) for each in changes(queues.fleet)]
    assert told == [("dead export", "reason:413", 5)]


def test_it_may_come_and_go_again(queues: Queues, run: Run, tmp_path: Path) -> None:
    """What was imported, exported with --remove or purged may be imported again."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")
    before = contents(queues, queue)
    files = [str(tmp_path / name) for name in "ab"]

    for file in files:
        assert run("dead", "export", "--output", file, "--remove").exit_code == 0
        assert contents(queues, queue) == {}
        assert run("dead", "import", file).exit_code == 0
        assert contents(queues, queue) == before
    run("dead", "purge", "--yes")
    twice = [run("dead", "import", file) for file in files]

    assert [each.exit_code for each in twice] == [0, 0]
    assert contents(queues, queue) == before
    assert queues.view(queue).ledger.balanced


@contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """Let no file grow beyond *most_bytes*, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("most_bytes", [0, 700, 900])
def test_a_full_disk_removes_nothing(
    queues: Queues, run: Run, tmp_path: Path, most_bytes: int
) -> None:
    """Where the disk does not take all, the command says so, keeps no file and removes nothing."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    before = contents(queues, queue)
    file = tmp_path / "dead.jsonl"

    with small_files(most_bytes):
        result = run("dead", "export", "--output", str(file), "--remove")

    assert result.exit_code == 1
    assert "'dead.jsonl' cannot be written: File too large" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert contents(queues, queue) == before


def test_a_file_is_never_replaced(queues: Queues, run: Run, tmp_path: Path) -> None:
    """An export never replaces a file, not even one that a link of that name leads to."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")
    file, link = tmp_path / "dead.jsonl", tmp_path / "link"
    file.write_text("precious")
    link.symlink_to(tmp_path / "nowhere")

    results = [run("dead", "export", "--output", str(each), "--remove") for each in (file, link)]

    assert [each.exit_code for each in results] == [1, 1]
    assert file.read_text() == "precious"
    assert link.is_symlink()
    assert len(contents(queues, queue)) == 1


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_name_that_is_none_is_refused(queues: Queues, run: Run, name: str) -> None:
    """As of a shell's variable that is not set."""
    queues.fill(queue := queues.add(), 5)
    kill_all(queues, queue)

    result = run("dead", "export", "--output", name, "--remove")

    assert (result.exit_code, len(contents(queues, queue))) == (1, 1)
    assert "is no name of a file; nothing was written or removed" in result.stderr


def test_what_is_purged_meanwhile_is_neither_written_nor_missed(
    queues: Queues, tmp_path: Path
) -> None:
    """A dead letter that another operator drops while the export goes on is not told as damaged."""
    queues.fill(queue := queues.add(), 15)
    kill_all(queues, queue)
    shard = queues.shard(queue)

    result = operations.export_dead(
        queues.fleet, Actor("ada", "cli", "host"), queues.registered,
        find_dead(queues.fleet, queues.registered, Filter()), tmp_path / "file",
        watch=lambda _: [shard.purge(name) for name in contents(queues, queue)][:0],
    )  # fmt: skip

    assert (result.written.batches, result.left.batches) == (1, 0)
    assert len((tmp_path / "file").read_bytes().splitlines()) == 1


def test_an_export_that_is_stopped_keeps_no_file(queues: Queues, tmp_path: Path) -> None:
    """A brake pulled while the file is written leaves no file, and nothing is removed."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)

    class Pulled:
        def wait(self, timeout: float) -> bool:
            return True

    result = operations.export_dead(
        queues.fleet, Actor("ada", "cli", "host"), queues.registered,
        all_dead(queues), tmp_path / "dead.jsonl", remove=True, brake=Pulled(),
    )  # fmt: skip

    assert result.stopped
    assert list(tmp_path.iterdir()) == []
    assert len(contents(queues, queue)) == 2


def all_dead(queues: Queues) -> Any:
    """All dead letters."""
    return find_dead(queues.fleet, queues.registered, Filter())


def edited(line: bytes, **changes: Any) -> bytes:
    """A line with some fields changed."""
    return json.dumps({**json.loads(line), **changes}).encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line[:-40], "it is cut off, or no line of an export"),
        (lambda line: b"{}", "it is cut off, or no line of an export"),
        (lambda line: b"\xff\xfe" + line, "it is cut off, or no line of an export"),
        (lambda line: edited(line, raw=["{}"] * 5), "it was changed after it was written"),
        (lambda line: edited(line, reason="other"), "it was changed after it was written"),
        (lambda line: edited(line, queue="other"), "it was changed after it was written"),
        (lambda line: edited(line, raw=[{"base64": "?"}]), "a text cannot be read"),
        (lambda line: edited(line, version=2), "it has version 2 of the format"),
        (lambda line: edited(line, events=-1), "Expected `int` >= 0"),
    ],
)
def test_a_line_that_is_not_whole_is_told(
    queues: Queues, run: Run, tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    """A line that was cut off or edited is told by its number; nothing of it, and all else, comes."""
    queue = queues.add()
    queues.fill(queue, 15)
    kill_all(queues, queue)
    file = tmp_path / "dead.jsonl"
    run("dead", "export", "--output", str(file), "--remove")
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], b"", change(lines[1]), lines[2]]))

    result = run("dead", "import", str(file))

    assert result.exit_code == 1
    assert "10 events in 2 batches imported" in result.stdout
    assert "line 3 not imported: " in result.stdout
    assert why in result.stdout
    lists = queues.client.keys("*:batch:*")
    assert len(lists) == len(contents(queues, queue)) == 2
    assert queues.view(queue).ledger.balanced


def test_a_killed_import_goes_on(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that dies at any step and is run again brings each batch once."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    before, file = contents(queues, queue), tmp_path / "dead.jsonl"
    run("dead", "export", "--output", str(file), "--remove")
    for step in ("stage", "arrive_from_file"):
        real = getattr(moving, step)

        def die(*arguments: Any, real: Any = real, **options: Any) -> Any:
            real(*arguments, **options)
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(moving, step, die)
            assert isinstance(run("dead", "import", str(file)).exception, ZeroDivisionError)
        assert queues.view(queue).ledger.balanced

    result = run("dead", "import", str(file))

    assert result.exit_code == 0
    assert contents(queues, queue) == before
    assert len(queues.client.keys("*:batch:*")) == 2


def test_a_compressed_file_is_told_once(queues: Queues, run: Run, tmp_path: Path) -> None:
    """Not as a hundred lines that are cut off."""
    queues.add()
    (tmp_path / "file.gz").write_bytes(gzip.compress(b"x" * 5 + b"\n" * 90_000))

    result = run("dead", "import", str(tmp_path / "file.gz"), "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["refused"] == [
        {"line": 1, "why": "the file is compressed; zcat FILE | vwo-celery dead import -"}
    ]


def test_another_queue_takes_what_does_not_contradict_it(
    queues: Queues, run: Run, tmp_path: Path
) -> None:
    """--queue imports into another queue what may be moved there, and nothing that is elsewhere."""
    queue, other = queues.add(1), queues.add(2)
    event = {"d": {"event": {"props": {"vwoMeta": {"a": 1}}, "name": "shown"}}}
    assert all(queue.enqueue_many([event] * 5))
    queues.fill(queue, 5)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file)
    there = run("dead", "import", file, "--queue", other.name)
    run("dead", "purge", "--yes")

    result = run("dead", "import", file, "--queue", other.name)

    assert "vwo-celery move takes it to another" in there.stdout
    assert result.exit_code == 1
    assert "5 events in 1 batch imported" in result.stdout
    assert "carries the account '1' in its bytes" in result.stdout
    assert len(contents(queues, other)) == 1


def test_a_file_is_imported_into_one_queue_only(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported into another queue is not imported once more into its own, or into a third.

    Also after it was sent from there; and the first import, run again, finds it where no more fits.
    """
    queue, other, third = queues.add(1), queues.add(2), queues.add(3)
    queues.fill(queue, 5)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file, "--remove")
    monkeypatch.setenv("VWO_CELERY_MAX_DEAD_EVENTS", "5")
    first = [run("dead", "import", file, "--queue", other.name) for _ in range(2)]

    there = run("dead", "import", file)
    run("dead", "redrive")
    queues.deliver(other)
    sent = [run("dead", "import", file, *words) for words in ((), ("--queue", third.name))]

    assert [each.exit_code for each in first] == [0, 0]
    assert "5 events in 1 batch there already" in first[1].stdout
    assert [each.exit_code for each in (there, *sent)] == [1, 1, 1]
    assert all(f"is in queue {other.name}, or was" in each.stdout for each in (there, *sent))
    assert not contents(queues, queue)
    assert not contents(queues, third)


def test_no_import_makes_workers_drop_others(
    queues: Queues, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported beyond max_dead_events, where workers would drop the oldest dead letters."""
    queue = queues.add()
    queues.fill(queue, 10)
    kill_all(queues, queue)
    file = str(tmp_path / "dead.jsonl")
    run("dead", "export", "--output", file, "--remove")
    monkeypatch.setenv("VWO_CELERY_MAX_DEAD_EVENTS", "7")

    result = run("dead", "import", file, "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["imported"] == {"batches": 1, "events": 5}
    assert "beyond max_dead_events (7)" in document["refused"][0]["why"]
    assert document["refused_lines"] == 1


def test_an_export_to_standard_output_is_a_stream(queues: Queues, run: Run) -> None:
    """With - the lines alone are on standard output, and import reads them from standard input."""
    queue = queues.add()
    queues.fill(queue, 5)
    queues.kill(queue, "VWO answered 413")

    exported = run("dead", "export", "--output", "-")
    run("dead", "purge", "--yes")
    imported = run("dead", "import", "-", text=exported.stdout)
    refused = run("dead", "export", "--output", "-", "--remove")

    assert msgspec.json.decode(exported.stdout)["queue"] == queue.name
    assert imported.exit_code == 0
    assert len(contents(queues, queue)) == 1
    assert refused.exit_code == 2
