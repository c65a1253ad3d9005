"""What the package tells a person to look at or to run is there: also where only a wheel is installed."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import vwo_celery
from vwo_celery.operating.doctor.workers import beat_finding, listener_finding
from vwo_celery.queue.work.obstacles import no_worker
from vwo_celery.settings import Settings
from vwo_celery.text.wording import page

PACKAGE = Path(vwo_celery.__file__).parent
#: A page of the documentation without a word on where it is.
BARE = re.compile(r"docs/[\w/-]+\.md(?! of\s+vwo-celery's\s+source)")
#: The page that findings lead to; whoever shows it says where it is.
NAMED = "docs/how-to/runbook.md"


def shown(path: Path) -> Iterator[str]:
    """The texts of a source that somebody may read: no docstrings but the help of commands."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden: set[ast.AST] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        is_help = isinstance(node, ast.FunctionDef) and node.decorator_list and "cli" in path.parts
        if isinstance(first, ast.Expr) and not is_help:
            hidden.add(first.value)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "page":
            hidden.update(node.args)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in hidden:
            yield node.value


def test_no_text_leads_to_a_page_that_an_installed_package_lacks() -> None:
    """A wheel has no pages: whoever is sent to one is told that it is in the source."""
    texts = [text for path in PACKAGE.rglob("*.py") for text in shown(path)]
    templates = [path.read_text("utf-8") for path in PACKAGE.rglob("*.html")]

    assert page("docs/faq.md") == "docs/faq.md of vwo-celery's source"
    assert sum("docs/how-to/" in text for text in (*texts, *templates)) >= 3
    assert [text for text in (*texts, *templates) if BARE.search(text) and text != NAMED] == []


@pytest.mark.parametrize("in_django", [False, True])
def test_a_project_is_told_to_start_its_own_app(
    monkeypatch: pytest.MonkeyPatch, in_django: bool
) -> None:
    """The ready app knows nothing of a Django project's settings, and would look at another Redis."""
    conf = SimpleNamespace(settings=SimpleNamespace(configured=in_django))
    monkeypatch.setitem(sys.modules, "django.conf", conf)
    worker, beat = listener_finding([]), beat_finding({}, 0, Settings())

    told = (worker.remedy, beat.remedy, no_worker())

    app = "PROJECT" if in_django else "vwo_celery.celery.app"
    for program, text in zip(("worker", "beat", "worker"), told, strict=True):
        assert f"start one: celery -A {app} {program}" in text
