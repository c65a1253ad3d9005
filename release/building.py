"""Build the sdist and the wheel, twice and in two places, and look at what is in them.

Both builds must be equal byte by byte: the second is made in a copy that has the tracked files only,
so a file that git does not know cannot slip in, nor a time or a path of this machine. What was built
stands in a folder; if this process dies, the next run makes it anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
from pathlib import Path

import msgspec

from release.commands import CHECKOUT, UV, run, tool
from release.lines import Refused

#: What hatchling adds to the files that pyproject.toml names.
_ADDED = frozenset({"PKG-INFO", ".gitignore", "pyproject.toml"})
#: All that belongs to the sdist beside the package: files and folders of the checkout.
_BESIDE = ("CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pytest_vwo_celery.py", "workers")


class Built(msgspec.Struct, frozen=True):
    """A release, built.

    Attributes:
        wheel: Path of the wheel.
        sdist: Path of the sdist.
    """

    wheel: Path
    sdist: Path

    @property
    def version(self) -> str:
        """The version in the wheel's name."""
        return self.wheel.name.split("-")[1]


def build_twice(folder: Path) -> Built:
    """Build from the checkout into *folder*/dist, and compare it with a build elsewhere.

    Raises:
        Refused: A build failed, or the builds differ.
    """
    variables = {**UV, "SOURCE_DATE_EPOCH": source_date()}
    shutil.rmtree(folder, ignore_errors=True)
    copy = _copy_of_tracked(folder / "copy")
    # The wheel is built from the sdist here, and from the files there.
    build = [sys.executable, "-m", "build", "--installer", "uv", "--outdir"]
    run([*build, folder / "dist", CHECKOUT], environment=variables)
    run([*build, folder / "again", "--sdist", "--wheel", copy], environment=variables)
    differing = differences(folder / "dist", folder / "again")
    if differing:
        raise Refused(
            f"not the same bytes from the tracked files alone: {', '.join(differing)};"
            " is there a file that git does not know?"
        )
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return Built(wheel, sdist)


def source_date() -> str:
    """The time that the files in a release bear, Unix seconds: SOURCE_DATE_EPOCH, or the commit's."""
    return os.environ.get("SOURCE_DATE_EPOCH") or run(["git", "log", "-1", "--format=%ct"]).strip()


def differences(one: Path, other: Path) -> list[str]:
    """Names of the files that two folders do not both have with the same bytes."""
    names = {path.name for folder in (one, other) for path in folder.iterdir()}
    return sorted(name for name in names if _digest(one / name) != _digest(other / name))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else f"none: {path}"


def tracked_files() -> list[str]:
    """Paths in the checkout of the files that git knows and that are there."""
    listed = run(["git", "ls-files", "-z"]).split("\0")
    return [name for name in listed if name and (CHECKOUT / name).is_file()]


def _copy_of_tracked(target: Path) -> Path:
    for name in tracked_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, target / name)
    return target


def check(built: Built) -> str:
    """Let twine and check-wheel-contents look at both files, and compare the sdist's names.

    Raises:
        Refused: One of them found something, or the sdist has a file too many or too few.
    """
    run([tool("twine"), "check", "--strict", built.wheel, built.sdist])
    run([tool("check-wheel-contents"), built.wheel])
    with tarfile.open(built.sdist) as archive:
        members = archive.getnames()
    inside = {name.partition("/")[2] for name in members}
    wrong = misplaced(inside, tracked_files())
    if wrong:
        raise Refused("in the sdist: " + "; ".join(wrong))
    kilobytes = [path.stat().st_size // 1024 for path in (built.wheel, built.sdist)]
    return f"wheel {kilobytes[0]} KB, sdist {kilobytes[1]} KB with {len(inside)} files"


def misplaced(inside: set[str], tracked: list[str]) -> list[str]:
    """What an sdist holds too much or lacks.

    Args:
        inside: Its files, by their paths in it.
        tracked: The files of the checkout.
    """
    beside = tuple(f"{name}/" for name in (*_BESIDE, "vwo_celery"))
    wanted = {name for name in tracked if name in _BESIDE or name.startswith(beside)} | _ADDED
    return [
        *(f"{name} is too much" for name in sorted(inside - wanted)),
        *(f"{name} is missing" for name in sorted(wanted - inside)),
    ]
