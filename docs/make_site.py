"""Build the site of the documentation: `python docs/make_site.py [FOLDER]`, .build unless named.

Pages and the files that they link to are copied to FOLDER/pages, at their paths of the checkout, and
Zensical makes FOLDER/site of them. It checks links between pages; links to other files of the
checkout, to pictures, and the pages of the navigation are checked here, in what was built. Exits 1,
and says what is wrong, if either finds anything.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import vwo_celery

PACKAGE = Path(vwo_celery.__file__).parent
CHECKOUT = Path(__file__).resolve().parents[1]
CONFIG = "zensical.toml"
#: Pages of the site: those of docs/, and the READMEs of what a reader copies, starts or changes.
PAGES = ("*.md", "docs/**/*.md", "compose/*.md", "examples/**/*.md", "deploy/**/*.md",
         "workers/*.md", "benchmarks/*.md", "tests/*.md")  # fmt: skip
_LINK = re.compile(r"\]\(([^)\s#]+)")
_FOLDER = re.compile(r'\["([\w/-]+/)"\]')
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
#: In what was built, where text and code have no `<` of their own.
_LINKED = re.compile(r'<a\b[^>]*? href="([^"]*)"')
_LOADED = re.compile(
    r'<(?:(?:img|script|source)\b[^>]*? src|link\b(?! rel="canonical")[^>]*? href)="([^"]*)"'
)
_ID = re.compile(r'<[a-z][^>]*? id="([^"]*)"')


def stage(folder: Path, checkout: Path = CHECKOUT) -> None:
    """Copy the pages, what they link to, and the configuration into *folder*."""
    shutil.rmtree(folder / "pages", ignore_errors=True)
    pages = [path for pattern in PAGES for path in sorted(checkout.glob(pattern))]
    linked = {there for page in pages for there in _links(page, checkout)}
    for path in {*pages, *linked}:
        place = path.relative_to(checkout)
        copy = folder / "pages" / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_source(path, place), copy)
    text = (checkout / CONFIG).read_text("utf-8")
    (folder / CONFIG).write_text(configured(text, checkout), "utf-8")


def configured(text: str, checkout: Path = CHECKOUT) -> str:
    """The configuration with the version, and with all pages of the folders that it names."""

    def listed(folder: re.Match[str]) -> str:
        paths = [path.relative_to(checkout) for path in checkout.glob(f"{folder[1]}*.md")]
        ordered = sorted(paths, key=lambda path: (path.stem != "README", path))
        return "[" + ", ".join(f'"{path.as_posix()}"' for path in ordered) + "]"

    return _FOLDER.sub(listed, text.replace("VERSION", vwo_celery.__version__))


def build(folder: Path) -> str:
    """Let Zensical build what was staged; returns its output, "" if nothing was wrong."""
    shutil.rmtree(folder / "site", ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    for path in (folder / "pages").rglob(".*"):  # which Zensical leaves behind
        copy = folder / "site" / path.relative_to(folder / "pages")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    said = ran.stdout + ran.stderr
    return said if ran.returncode or "No issues found" not in said else ""


def broken(site: Path) -> list[str]:
    """The links of a built site that lead nowhere in it, and the addresses that it loads from others."""
    pages = {path: _Page.read(path) for path in sorted(site.rglob("*.html"))}
    ids: dict[Path, set[str]] = {path: page.ids for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        place = path.relative_to(site)
        found += [
            f"{place}: {each} leads nowhere"
            for each in page.links
            if not _leads(each, path, site, ids)
        ]
        found += [f"{place}: loads {each}" for each in page.loaded if urlsplit(each).netloc]
    return found


def _leads(address: str, page: Path, site: Path, ids: Mapping[Path, set[str]]) -> bool:
    """Whether a link leads to a file of the site, and to an anchor in it; or out of the site."""
    where = urlsplit(address)
    if where.scheme or where.netloc:
        return True
    there = _file(page, unquote(where.path), site)
    return there is not None and unquote(where.fragment) in ids.get(there, {where.fragment})


def _links(page: Path, checkout: Path) -> Iterator[Path]:
    """The files of the checkout that a page links to."""
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        there = (page.parent / link).resolve()
        inside = "://" not in link and there.is_relative_to(checkout)
        if inside and _source(there, there.relative_to(checkout)).is_file():
            yield there


def _source(path: Path, place: Path) -> Path:
    """The file of a place in the checkout; the package may be elsewhere, as in a test of the wheel."""
    return PACKAGE.parent / place if place.parts[:1] == (PACKAGE.name,) else path


def _file(page: Path, path: str, site: Path) -> Path | None:
    """The file that a link of a page shows; None if there is none."""
    base = site if path.startswith("/") else page.parent
    return _shown(os.path.normpath(base / path.lstrip("/"))) if path else page


@cache
def _shown(path: str) -> Path | None:
    there = Path(path, "index.html") if Path(path).is_dir() else Path(path)
    return there if there.is_file() else None


class _Page(NamedTuple):
    """What a page links to, what it loads, and the anchors that it has."""

    links: list[str]
    loaded: list[str]
    ids: set[str]

    @classmethod
    def read(cls, path: Path) -> _Page:
        text = path.read_text("utf-8")
        loaded = [html.unescape(each) for each in _LOADED.findall(text)]
        links = [html.unescape(each) for each in _LINKED.findall(text)]
        return cls(
            list(dict.fromkeys([*loaded, *links])),
            loaded,
            {*map(html.unescape, _ID.findall(text)), ""},
        )


def main(folder: Path) -> int:
    """Stage, build and check; returns the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    stage(folder)
    complaints = build(folder) or "\n".join(broken(folder / "site"))
    print(complaints or f"the site is in {folder / 'site'}")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else CHECKOUT / ".build").resolve()))
