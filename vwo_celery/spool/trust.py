"""Trust in a spool's folder and files: nobody else may have made, linked, or be able to write them.

Beneath the spool, asked before anything is opened. Whoever writes a row could have us send it, and
whoever reads one learns the SDK key and visitors. Only reads, but for the trial of a folder, which
leaves nothing; nothing to lose.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress

from vwo_celery.errors import SpoolUnavailable

_FOLDER_MODE, FILE_MODE = 0o700, 0o600
_SUPERUSER = 0
_WRITABLE_BY_OTHERS, _OPEN_TO_OTHERS = 0o022, 0o077
#: Suffixes of the files that SQLite keeps for one database.
SUFFIXES = ("", "-wal", "-shm")


_REMEDY = "set spool_dir (VWO_CELERY_SPOOL_DIR) to a folder that this user may write"


class FileLeftAlone(SpoolUnavailable):
    """A spool file that is not ours to read or write."""


def check_folder(folder: str) -> None:
    """Check a folder that exists.

    Raises:
        SpoolUnavailable: Somebody else could put files into it, or it is no folder.
    """
    found = os.lstat(folder)
    if stat.S_ISLNK(found.st_mode):
        remedy = f"set spool_dir to the folder itself, {os.path.realpath(folder)}"
        raise SpoolUnavailable(f"{folder} is a symbolic link; {remedy}")
    if not stat.S_ISDIR(found.st_mode):
        raise SpoolUnavailable(f"{folder} is no folder; set spool_dir to one, or remove it")
    inside = f"set spool_dir to a folder inside it, such as {os.path.join(folder, 'spool')}"
    if found.st_uid not in (_user(), _SUPERUSER):
        raise SpoolUnavailable(
            f"the folder {folder} belongs to another user (uid {found.st_uid}, this process runs as "
            f"{_user()}), who could read events or plant some; run this as that user, chown -R it, "
            f"or, if this user may write there, {inside}, which is made then"
        )
    if found.st_mode & _WRITABLE_BY_OTHERS:
        who = "every user" if found.st_mode & stat.S_IWOTH else f"the group {found.st_gid}"
        raise SpoolUnavailable(
            f"the folder {folder} (mode {_mode(found)}) may be written by {who}, who could plant "
            f"events; {inside}, which is made with mode 700, or take that right away: "
            f"chmod go-w {folder}"
        )


def check_file(path: str) -> None:
    """Check a database and what SQLite keeps beside it.

    Raises:
        FileLeftAlone: Somebody else made one of the files, or may read or write it.
        FileNotFoundError: There is no such database.
    """
    _check_one(path)
    for suffix in SUFFIXES[1:]:
        with suppress(FileNotFoundError):
            _check_one(path + suffix)


def _check_one(path: str) -> None:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise FileLeftAlone(f"{path} is {what}, and is left alone; remove it")
    if found.st_uid not in (_user(), _SUPERUSER):
        raise FileLeftAlone(
            f"{path} belongs to another user (uid {found.st_uid}, this process runs as {_user()}), "
            "and is left alone; remove it, or, if its events are your own, chown it"
        )
    if found.st_mode & _OPEN_TO_OTHERS:
        raise FileLeftAlone(
            f"{path} (mode {_mode(found)}) is open to other users, and is left alone; if its events "
            f"are your own: chmod 600 {path}"
        )


def make_folder(folder: str) -> None:
    """Make a folder, and those above it that are missing, closed to other users; check it.

    Raises:
        SpoolUnavailable: It cannot be made, or cannot be trusted.
    """
    try:
        _make(folder)
        check_folder(folder)
    except OSError as exc:
        raise SpoolUnavailable(f"the folder {folder} cannot be made: {exc}; {_REMEDY}") from exc


def _make(folder: str) -> None:
    if os.path.lexists(folder):
        return
    _make(os.path.dirname(folder))
    with suppress(FileExistsError):  # another process was quicker
        os.mkdir(folder, _FOLDER_MODE)
        os.chmod(folder, _FOLDER_MODE)  # a umask may have taken rights of our own


def new_file(path: str) -> int:
    """Make a file that only this user may read and write, whatever the umask; its descriptor."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)
    return descriptor


def try_folder(folder: str) -> None:
    """See that this user can keep files in a folder, or can make the folder; leaves nothing.

    Raises:
        SpoolUnavailable: It cannot be used, and why.
    """
    if os.path.lexists(folder):
        check_folder(folder)
    above = folder
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise SpoolUnavailable(f"{above} is no folder")
    try:
        with tempfile.TemporaryDirectory(prefix=".vwo-celery-trial-", dir=above) as trial:
            os.close(new_file(os.path.join(trial, "file")))
    except OSError as exc:
        raise SpoolUnavailable(f"{above} cannot be written by this user: {exc.strerror}") from exc


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):o}"


def _user() -> int:
    return os.geteuid()
