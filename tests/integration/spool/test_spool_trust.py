"""The spool trusts only what this user made: planted folders, files and links are left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.command_line import run_command
from tools.producers import TIMEOUT_SECONDS, connect, numbers
from tools.spools import database, drained, open_spool, registration
from vwo_celery.errors import SpoolUnavailable
from vwo_celery.operating.doctor.spool import spool_finding
from vwo_celery.receipts import Receipt
from vwo_celery.settings import Settings
from vwo_celery.spool import trust
from vwo_celery.spool.spool import Spool
from vwo_celery.testing import free_port

STRANGER = 54_321
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds a spool with events of an application that has ended."""
    spool = open_spool(tmp_path / "spool")
    spool.put(registration(), numbers(3))
    spool.close()
    return tmp_path / "spool"


def link(path: Path) -> None:
    """Put a link in the place of *path*, to what was there."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


FOLDERS: dict[str, tuple[Spoil, str]] = {
    "written by all": (lambda folder: folder.chmod(0o777), "every user.*spool/spool"),
    "sticky, as /tmp": (lambda folder: folder.chmod(0o1777), "every user"),
    "a volume with fsGroup": (lambda folder: folder.chmod(0o2770), "the group .*chmod go-w"),
    "a link": (link, "is a symbolic link; set spool_dir to the folder itself, .*elsewhere"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_others_may_fill_is_not_used(folder: Path, name: str) -> None:
    """Nothing is read or written in it; the receipt, the count and doctor say why and what to do."""
    spoil, why = FOLDERS[name]
    spoil(folder)
    before = sorted(os.listdir(folder))
    url = f"redis://127.0.0.1:{free_port()}/0"
    queue = connect(url, spool_dir=str(folder), enqueue_timeout_seconds=TIMEOUT_SECONDS)

    receipt = queue.enqueue({"n": 0})

    assert receipt == Receipt(where="dropped", reason="redis_unavailable")
    with pytest.raises(SpoolUnavailable, match=why):
        open_spool(folder).put(registration(), numbers(1))
    with pytest.raises(SpoolUnavailable, match=why):
        open_spool(folder).count()
    assert not open_spool(folder).holds_something
    finding = spool_finding(Settings(spool_dir=str(folder), redis_url=url))
    assert (finding.state, bool(finding.remedy)) == ("problem", True)
    assert sorted(os.listdir(folder)) == before


def test_a_folder_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that another user made first is not used, whatever its mode."""
    _give_away(folder, monkeypatch)

    with pytest.raises(SpoolUnavailable, match="belongs to another user"):
        open_spool(folder).put(registration(), numbers(1))
    assert not open_spool(folder).holds_something


def _give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let *path* belong to another user than this process runs as."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
    else:
        monkeypatch.setattr(trust, "_user", lambda: STRANGER)


FILES: dict[str, tuple[Spoil, str]] = {
    "written by all": (lambda file: file.chmod(0o666), "chmod 600"),
    "read by the group": (lambda file: file.chmod(0o640), "chmod 600"),
    "a link": (link, "is a symbolic link, and is left alone; remove it"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "no regular file"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_others_may_reach_is_left_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Its rows are not counted, sent or changed; new events go to another file, and the log names it."""
    spoil, why = FILES[name]
    path = Path(database(open_spool(folder)))
    spoil(path)
    spool = open_spool(folder)

    spool.put(registration(), numbers(2, 7))

    assert spool.count() == 2
    assert drained(spool) == numbers(2, 7)
    assert str(path) in caplog.text
    with pytest.raises(SpoolUnavailable, match=why):
        spool.take(path=str(path))
    spool.close()


def test_a_file_that_is_opened_to_others_later_is_left(folder: Path) -> None:
    """A file is checked at each opening: one that was opened to others meanwhile gets no event."""
    spool = open_spool(folder)
    spool.put(registration(), numbers(1, 3))
    path = Path(database(spool))
    path.rename(path.with_name("was here"))
    shutil.copy(path.with_name("was here"), path)
    path.chmod(0o666)

    spool.put(registration(), numbers(1, 4))

    assert drained(spool) == numbers(1, 4)
    spool.close()


@pytest.fixture(params=[0o000, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask that takes no right away, or all."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_made_is_ours_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Folders, those above included, have mode 700, and files 600."""
    spool = open_spool(tmp_path / "a" / "b")

    spool.put(registration(), numbers(3))

    assert drained(spool) == numbers(3)
    made = [*(tmp_path / "a").rglob("*"), tmp_path / "a"]
    modes = {path.is_dir(): path.stat().st_mode & 0o7777 for path in made}
    assert modes == {True: 0o700, False: 0o600}
    spool.close()


def test_a_folder_inside_a_volume_is_made(tmp_path: Path) -> None:
    """The remedy for a volume that others may write works: a folder inside it, which is made."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o2770)
    spool = open_spool(volume / "spool")

    spool.put(registration(), numbers(1))

    assert drained(spool) == numbers(1)
    spool.close()


def test_spools_in_a_test_are_of_this_user(folder: Path) -> None:
    """A spool that nobody touched is used: what is refused above is refused for its reason."""
    spool: Spool = open_spool(folder)

    assert drained(spool) == numbers(3)
    spool.close()


def test_the_command_does_not_call_a_spool_empty_whose_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spool status` names the file, and says that only the other files hold nothing; a drain fails."""
    folder = tmp_path / "spool"
    url = f"redis://127.0.0.1:{free_port()}/0"
    queue = connect(url, spool_dir=str(folder), enqueue_timeout_seconds=TIMEOUT_SECONDS)
    assert queue.enqueue({"n": 0}).where == "spooled"
    next(folder.glob("*.sqlite3")).chmod(0o644)
    monkeypatch.setenv("VWO_CELERY_SPOOL_DIR", str(folder))

    shown = run_command(["spool", "status", "--redis-url", url])

    assert "chmod 600" in shown.stdout
    assert "the other files hold nothing" in shown.stdout

    drained = run_command(["spool", "drain", "--redis-url", url])

    assert drained.exit_code == 1
    assert "chmod 600" in drained.stdout
