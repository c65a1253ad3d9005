"""The spool on full disks, with damaged, deleted or newer files: nothing is harmed."""

from __future__ import annotations

import os
import resource
import sqlite3
from pathlib import Path

import pytest

from tools.producers import numbers
from tools.spools import database, drained, fill, open_spool, registration
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.spool.spool import Spool
from vwo_celery.spool.tables import SCHEMA_VERSION


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """If the folder cannot be created, the spool's own error says so."""
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(SpoolUnavailable, match="no folder"):
        open_spool(tmp_path / "spool").put(registration(), numbers(1))


def test_a_full_disk_refuses_and_harms_nothing(spool: Spool) -> None:
    """On a full disk the stored events stay; once there is room, events are stored again."""
    spool.put(registration(), numbers(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(database(spool) + "-wal"), hard))
    try:
        with pytest.raises(SpoolUnavailable, match="spooling"):
            fill(spool, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    spool.put(registration(), numbers(1, 1000))

    texts = drained(spool)
    assert texts[:10] == numbers(10)
    assert texts[-1:] == numbers(1, 1000)


@pytest.mark.parametrize("damage", ["overwritten", "truncated", "of another program"])
def test_a_damaged_file_is_put_aside(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """A damaged file is put aside and logged; the next event starts a new spool."""
    first = open_spool(folder)
    first.put(registration(), numbers(1))
    path = Path(database(first))
    first.close()
    if damage == "overwritten":
        path.write_bytes(b"no database at all " * 1000)
    elif damage == "truncated":
        path.write_bytes(b"")
    else:
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (n)")
        path.chmod(0o600)
    spool = open_spool(folder)

    spool.put(registration(), numbers(3, 5))

    assert drained(spool) == numbers(3, 5)
    (aside,) = folder.glob("*.damaged-*[0-9]")
    assert "is damaged" in caplog.text
    assert str(aside) in caplog.text
    spool.close()


def test_a_recovered_file_is_drained(spool: Spool, folder: Path) -> None:
    """What an operator got out of a damaged file is drained, once it lies beside the others."""
    spool.put(registration(), numbers(3))
    with sqlite3.connect(database(spool)) as db:
        script = [
            line for line in db.iterdump() if '"drainer"' not in line and "drainer" not in line
        ]
    drained(spool)
    assert spool.tidy()
    recovered = Path(f"{spool.files.stem}.recovered.sqlite3")
    with sqlite3.connect(recovered) as db:
        db.executescript("".join(script))
    recovered.chmod(0o600)

    assert spool.holds_something
    assert spool.count() == 3
    assert drained(spool) == numbers(3)
    assert spool.tidy()
    assert not recovered.exists()


def test_a_newer_releases_file_is_left_alone(folder: Path) -> None:
    """A file of a newer version is neither changed nor put aside, and the error names the remedy."""
    first = open_spool(folder)
    first.put(registration(), numbers(2))
    path = database(first)
    first.close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    spool = open_spool(folder)

    spool.put(registration(), numbers(1, 2))
    with pytest.raises(SpoolUnavailable, match="newer release"):
        spool.take(path=path)

    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert drained(spool) == numbers(3)
    spool.close()


def test_a_folder_that_goes_away_comes_back(spool: Spool, folder: Path) -> None:
    """After an operator deleted the spool under a running process, the next event creates a new one."""
    spool.put(registration(), numbers(2))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

    spool.put(registration(), numbers(2, 2))

    assert drained(open_spool(folder)) == numbers(2, 2)


def test_a_registration_of_a_newer_release_waits(spool: Spool) -> None:
    """Events of a queue that this release cannot read stay in the spool, and hold up no other queue."""
    spool.put(registration(1), numbers(1))
    spool.put(registration(2), numbers(1, 7))
    with sqlite3.connect(database(spool)) as db:
        db.execute("UPDATE queues SET registration = '{}' WHERE id = 1")

    assert drained(spool) == numbers(1, 7)
    assert spool.count() == 1
    assert not spool.tidy()


def test_a_full_disk_is_left_without_half_made_files(spool: Spool, folder: Path) -> None:
    """A new file that the disk does not take leaves nothing behind, however often that happens."""
    spool.put(registration(), numbers(1))
    assert drained(spool) == numbers(1)
    assert spool.tidy()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    try:
        with pytest.raises(SpoolUnavailable):
            open_spool(folder).put(registration(), numbers(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []
