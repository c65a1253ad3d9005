"""The blocks of code in pages and docstrings, and what is done with each, by its language.

A block that is not run says so in a comment before it, which readers do not see:
`<!-- not run: REASON -->`, or `<!-- run by: tests/… -->` where another test does it.
"""

from __future__ import annotations

import ast
import asyncio
import configparser
import inspect
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import yaml
from markdown_it import MarkdownIt

from tools.command_line import run_command
from tools.deployed import KEDA, objects
from tools.nginx import find_nginx

#: Languages whose blocks are shown: they are no code, or signatures made from it.
SHOWN = ("text", "py")
_COMMENT = re.compile(r"<!-- (not run|run by): (.+?) -->\s*\Z", re.DOTALL)
_FOR_A_SHELL = re.compile(r"(python -m|celery) ")
#: Commands that do not end by themselves, or need a terminal.
_ENDLESS = re.compile(
    r"^vwo-celery (web|relay|top|dev|demo|tail|completion)\b|--follow|--background|--wait"
)
#: A word that stands for a reader's own.
_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|…")
#: A release of Kubernetes that manifests in pages are valid for.
_KUBERNETES = "1.31"


class Block(NamedTuple):
    """A block of code.

    Attributes:
        path: The page, or the module with the docstring.
        line: Its first line there; 0 in a docstring.
        language: As the fence names it; "" if it names none.
        text: What stands in it.
        instead: "not run" and the reason, or "run by" and the test; None for a block that is run.
    """

    path: Path
    line: int
    language: str
    text: str
    instead: tuple[str, str] | None = None


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, as CommonMark reads it."""
    before = ""
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if token.type == "fence":
            assert token.map is not None
            found = _COMMENT.search(before)
            instead = (found[1], " ".join(found[2].split())) if found else None
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content, instead)
        before = token.content if token.type == "html_block" else ""


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that begin with a comment of a file's name, as a reader does."""
    for block in blocks_of(page):
        if named := re.match(r"# ([\w.-]+\.\w+)\n", block.text):
            (folder / named[1]).write_text(block.text, "utf-8")


def examples_in(module: Path) -> Iterator[Block]:
    """The indented examples in the docstrings of a module, but for commands to a shell."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for token in MarkdownIt().parse(ast.get_docstring(node) or ""):
                if token.type == "code_block" and not _FOR_A_SHELL.match(token.content):
                    yield Block(module, 0, "python", token.content)


def run_block(block: Block, namespace: dict[str, Any], folder: Path) -> None:
    """Do with a block what its language demands.

    Args:
        block: Of a page that shares *namespace* among its blocks.
        namespace: The names that the reader has by then.
        folder: Where files may be written.
    """
    _DOES[block.language](block, namespace, folder)


def _python(block: Block, namespace: dict[str, Any], _: Path) -> None:
    """Run it in the page's namespace; `await` may stand outside of functions."""
    text, flags = "\n" * block.line + block.text, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(text, str(block.path), "exec", flags, dont_inherit=True)
    ran = eval(code, namespace)
    if inspect.iscoroutine(ran):
        with ThreadPoolExecutor(
            1
        ) as elsewhere:  # a browser's driver may have a loop in this thread
            elsewhere.submit(asyncio.run, ran).result()


def _sh(block: Block, _: dict[str, Any], __: Path) -> None:
    """A shell can read it; those of our commands that end by themselves do so without an error."""
    _read_by("sh", "-n", text=block.text)
    for line in block.text.replace("\\\n", " ").splitlines():
        words = line.partition(" #")[0].strip()
        if words.startswith("vwo-celery ") and not (
            _ENDLESS.search(words) or _PLACEHOLDER.search(words)
        ):
            code, told = _typed(words)
            assert code in (0, 1), f"{words}: {told}"  # 1: something was found


def _console(block: Block, _: dict[str, Any], __: Path) -> None:
    """Each of our commands after `$ ` prints what stands below it, with `…` for anything."""
    for session in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        words, _, expected = session.partition("\n")
        _, told = _typed(words)
        pattern = ".*".join(re.escape(part.strip()) for part in expected.split("…"))
        assert re.fullmatch(pattern, told.strip(), re.DOTALL), f"$ {words}\n{told}"


def _typed(words: str) -> tuple[int, str]:
    """Run `vwo-celery …` within this process; its exit code, and what it printed."""
    name, *rest = shlex.split(words)
    assert name == "vwo-celery", f"{words}: only our own commands are run"
    ran = run_command(rest, "y\n")
    assert ran.exception is None or isinstance(ran.exception, SystemExit), (
        f"{words}: {ran.exception!r}"
    )
    return ran.exit_code, ran.stdout + ran.stderr


def _yaml(block: Block, _: dict[str, Any], __: Path) -> None:
    """It can be parsed; Kubernetes knows its objects, and KEDA's have the fields of ours."""
    for each in yaml.safe_load_all(block.text):
        version = each.get("apiVersion", "")
        if version.startswith("keda.sh/"):
            (ours,) = (one for one in objects(KEDA) if one["kind"] == each["kind"])
            assert {*each["spec"]} <= {*ours["spec"]}
        elif version and not version.startswith("kustomize."):
            kubernetes_validate.validate(each, _KUBERNETES, strict=True)


def _nginx(block: Block, _: dict[str, Any], folder: Path) -> None:
    """nginx takes it as part of a server."""
    server = f"server {{ listen 127.0.0.1:1;\n{block.text}\n}}"
    (folder / "nginx.conf").write_text(f"events {{}} pid nginx.pid; http {{ {server} }}", "utf-8")
    _read_by(find_nginx(), "-t", "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf")


def _read_by(*command: str, text: str = "") -> None:
    """A program reads what it is given without an error."""
    ran = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def _parsed(parse: Callable[[str], Any]) -> Callable[[Block, dict[str, Any], Path], None]:
    def does(block: Block, _: dict[str, Any], __: Path) -> None:
        parse(block.text)

    return does


def _ini(text: str) -> None:
    configparser.ConfigParser(interpolation=None).read_string(text)


_DOES: dict[str, Callable[[Block, dict[str, Any], Path], None]] = {
    "python": _python, "sh": _sh, "console": _console, "yaml": _yaml, "nginx": _nginx,
    "json": _parsed(json.loads), "ini": _parsed(_ini),
    **dict.fromkeys(SHOWN, _parsed(str)),
}  # fmt: skip
#: Languages that are run, parsed or shown.
LANGUAGES = frozenset(_DOES)
