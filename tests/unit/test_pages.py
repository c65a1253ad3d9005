"""The pages' links, named files and make targets exist, and their lines are short."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vwo_celery

CHECKOUT = Path(__file__).parents[2]
PACKAGE = Path(vwo_celery.__file__).parent
PAGES = sorted(
    path
    for path in CHECKOUT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(CHECKOUT).parts)
)
WIDTH = 100
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_FILE = re.compile(r"`([\w/]+/[\w./-]+\.(?:py|lua))`")
MAKE = re.compile(r"(?:^|`)make ([a-z-]+)\b", re.MULTILINE)
#: Prefixes of paths in a reader's own project.
READERS = ("mysite/", "/tmp/")
#: Placeholder for a name that the reader chooses.
CHOSEN = "NAME"
#: Targets that only other targets use.
INNER = {"FORCE", "demo-notice", "lint", "types", "suite"}
PHONY = re.compile(r"^\.PHONY: (.*)$", re.MULTILINE)


def name(path: Path) -> str:
    """The page's path in the checkout."""
    return str(path.relative_to(CHECKOUT))


def prose(page: str) -> Iterator[str]:
    """The lines of a page except code, tables and marks."""
    fenced = False
    for line in page.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "<!--", "    ")):
            yield line


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as links name them after #."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {each.replace(" ", "-") for each in words}


def targets() -> set[str]:
    """The targets that the Makefile declares."""
    text = (CHECKOUT / "Makefile").read_text("utf-8")
    return {name for line in PHONY.findall(text) for name in line.split()}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link names a file of the checkout, and a heading in it."""
    broken = []
    for link in LINK.findall(path.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        there = path.parent / name if name else path
        if not (there.exists() or _in_package(there)) or (
            anchor and anchor not in anchors(there.read_text("utf-8"))
        ):
            broken.append(link)

    assert not broken


def _in_package(path: Path) -> bool:
    """Whether the package under test, which may be elsewhere, has this file of the checkout."""
    relative = path.resolve().relative_to(CHECKOUT.resolve()).parts
    return relative[:1] == ("vwo_celery",) and PACKAGE.joinpath(*relative[1:]).exists()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_named_files_exist(path: Path) -> None:
    """A source file that a page names exists in the checkout, the package, or tests/."""
    roots = (CHECKOUT, PACKAGE.parent, PACKAGE, CHECKOUT / "tests", path.parent)
    named = CODE_FILE.findall(path.read_text("utf-8"))
    ours = [each for each in named if not each.startswith(READERS) and CHOSEN not in each]

    assert [each for each in ours if not any((root / each).exists() for root in roots)] == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_prose_wraps(path: Path) -> None:
    """Lines of prose end at 100 columns, for readable diffs; a single long word may be longer."""
    long = [line for line in prose(path.read_text("utf-8")) if len(line) > WIDTH]

    assert [line for line in long if " " in line.strip()[:WIDTH]] == []


def test_the_readme_lists_what_is_where() -> None:
    """The README's table lists the folders of the checkout, and no other."""
    text = (CHECKOUT / "README.md").read_text("utf-8").partition("## What is where")[2]
    listed = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    there = {path.name for path in CHECKOUT.iterdir() if path.is_dir() and path.name[0].isalpha()}

    assert listed == there | {"vwo_celery"}


def test_pages_name_make_targets_that_exist() -> None:
    """`make X` in a page is a target of the Makefile."""
    named = {target for path in PAGES for target in MAKE.findall(path.read_text("utf-8"))}

    assert named <= targets()


def test_make_help_lists_every_target() -> None:
    """`make help` names each target that people type, except itself."""
    ran = subprocess.run(
        ["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60
    )

    listed = set(re.findall(r"^\s*make ([a-z-]+)", ran.stdout, re.MULTILINE))
    assert listed == targets() - INNER - {"help"}
