"""A release without publishing it: `make release`, which is also what the release workflow runs.

    python -m release.rehearsal          everything
    python -m release.rehearsal short    one environment: all extras, on the newest Python here; besides,
                                         licences in the environments that the checkout has made

Builds twice and compares, checks what was built, puts it into an index on loopback, and from there
installs it on every Python found, alone and with each extra; there a smoke program delivers an event,
the licences of all that was installed are judged, and bills of materials are written. What is to be
published then stands in .build/release: `dist/` and `sbom/`. Exits with 1 if a line failed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from release.building import Built, build_twice, check
from release.commands import CHECKOUT
from release.index import make_index, served
from release.installing import install_by_pip, install_by_uv, smoke
from release.licences import read_licences
from release.lines import Line, Refused, counted, passed, run_lines, table
from release.sboms import Sbom, check_form, write_sbom
from release.workflow import check_workflows
from vwo_celery.testing import RedisServer

sys.path.append(str(CHECKOUT / "tests"))
from tools.pythons import find_pythons

FOLDER = CHECKOUT / ".build" / "release"
#: What users install, beside nothing at all, which is "".
EXTRAS = ("console", "tui", "metrics", "otel", "relay", "django", "fast")
#: All of them at once; its bill of materials is the one that is signed.
ALL = "all"
#: What a checkout installs: on every Python, whose Redis differs, and on the newest.
DEMO = "demo"
OWN_EXTRAS = ("browser", "docs", "release")
#: Those that a checkout makes of them, which the short form looks at where they are.
OWN_ENVIRONMENTS = (".venv-test", ".venv-browser", ".venv-release")


class Rehearsal:
    """The steps of one run, and what the earlier ones leave for the later ones.

    Args:
        folder: Where everything is made.
        redis_url: A Redis for the smoke program.
    """

    def __init__(self, folder: Path, redis_url: str) -> None:
        self._folder = folder
        self._redis_url = redis_url
        self._licences = read_licences()
        self._built: Built | None = None
        self._components: set[str] = set()

    @property
    def built(self) -> Built:
        """What was built; every line that asks for it needs the line that builds."""
        if self._built is None:
            raise Refused("nothing was built")
        return self._built

    def build(self) -> str:
        """Build twice, and keep the version's number for the later lines."""
        self._built = build_twice(self._folder)
        return f"{self._built.wheel.name} and sdist, twice the same bytes"

    def check(self) -> str:
        """Look at what was built."""
        return check(self.built)

    def install(self, python: str, version: str, extra: str) -> str:
        """Install us with an extra ("" for none) on a Python, use us, and judge the licences there."""
        name = f"{version}-{extra or 'core'}"
        folder = self._folder / "environments" / name
        with served(make_index(self._folder / "index" / name, self.built)) as index:
            if extra:
                extras = ",".join(EXTRAS) if extra == ALL else extra
                inside = install_by_uv(python, folder, index, self.built.version, extras)
            else:
                inside = install_by_pip(python, folder, index, self.built.version)
        told = smoke(inside, extra, self.built.version, self._redis_url)
        bill = self._folder / "sbom" / f"vwo-celery-py{name}.cdx.json"
        return f"{told}; {self._judge(inside, bill)}"

    def judge_own(self, checkout: Path = CHECKOUT) -> str:
        """Judge the licences in the environments of the checkout that are there, as in CI."""
        found = [name for name in OWN_ENVIRONMENTS if (checkout / name / "made").exists()]
        told = []
        for name in found:
            python, bill = checkout / name / "bin" / "python", self._folder / f"own{name}.cdx.json"
            told.append(f"{name}: {self._judge(python, bill)}")
        return "; ".join(told)

    def _judge(self, python: Path, bill: Path) -> str:
        sbom: Sbom = write_sbom(python, self.built.version, bill)
        refusals = self._licences.refusals(sbom)
        if refusals:
            raise Refused("licences that nobody allowed: " + "; ".join(refusals))
        names = {component["name"] for component in sbom["components"]}
        self._components |= names
        return f"{len(names)} packages, all allowed"

    def check_bills(self, version: str) -> str:
        """The bills of a Python, the signed one among them, are of the form that their readers know."""
        bills = sorted((self._folder / "sbom").glob(f"vwo-celery-py{version}-*.cdx.json"))
        for bill in bills:
            check_form(bill)
        return f"bills of materials of Python {version} of CycloneDX' form: {len(bills)}"

    def exceptions_are_used(self) -> str:
        """No exception outlives the package that it was made for."""
        unused = self._licences.unused(self._components)
        if unused:
            raise Refused(f"release/licences.yaml excepts what nothing needs: {', '.join(unused)}")
        return f"{len(self._licences.excepted)} exceptions, all needed"


def lines(rehearsal: Rehearsal, pythons: dict[str, str], *, short: bool) -> Iterator[Line]:
    """The lines of a run, in their order.

    Args:
        rehearsal: Has the steps.
        pythons: Version to path of each Python found, the oldest first.
        short: Only the newest, and all extras at once.
    """
    yield Line("workflow", check_workflows)
    yield Line("build", rehearsal.build)
    yield Line("check", rehearsal.check, ("build",))
    newest = list(pythons)[-1]
    installed = []
    for version, extra in _environments(pythons, short=short):
        installed.append(f"{version} {extra or 'core'}")
        step = partial(rehearsal.install, pythons[version], version, extra)
        yield Line(installed[-1], step, ("build",))
    yield Line("bills", partial(rehearsal.check_bills, newest), (f"{newest} {ALL}",))
    if short:
        yield Line("own", rehearsal.judge_own, ("build",))
    else:
        yield Line("exceptions", rehearsal.exceptions_are_used, tuple(installed))


def _environments(pythons: Iterable[str], *, short: bool) -> Iterator[tuple[str, str]]:
    """The environments of a run: a Python's version, and an extra or "" for none."""
    *_, newest = pythons
    if short:
        yield newest, ALL
        return
    for version in pythons:
        own = (DEMO, *(OWN_EXTRAS if version == newest else ()))
        for extra in ("", *EXTRAS, ALL, *own):
            yield version, extra


def main(arguments: list[str]) -> int:
    """Run the lines and print the table; 1 if one failed, 2 for a wrong argument or no Python."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    pythons = find_pythons()
    if not set(arguments) <= {"short"} or not pythons:
        console.print("usage: make release [ARGS=short]; needs Python 3.10 to 3.13", style="red")
        return 2
    short = "short" in arguments
    shutil.rmtree(FOLDER, ignore_errors=True)
    time = "half a minute" if short else "ten to twenty minutes"
    console.print(f"Python {', '.join(pythons)}; {time} on an idle machine", highlight=False)
    with RedisServer() as server:
        ended = run_lines(list(lines(Rehearsal(FOLDER, server.url), pythons, short=short)), console)
    console.print(table(ended, "found"))
    console.print(counted(ended), highlight=False)
    if passed(ended):
        console.print(f"to be published: {FOLDER / 'dist'}; with it goes {FOLDER / 'sbom'}")
    return 0 if passed(ended) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
