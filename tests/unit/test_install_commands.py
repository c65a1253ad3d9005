"""Nobody is told to install vwo-celery from PyPI, where it is not, and where another may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import vwo_celery

CHECKOUT = Path(__file__).parents[2]
PACKAGE = Path(vwo_celery.__file__).parent
#: An install command that names our distribution as PyPI would have it.
BY_NAME = re.compile(r"pip3? install [^\n`#]*?(?<![\w./-])[\"']?vwo[-_]celery\b(?![-_/.\w])")


def texts() -> Iterator[tuple[Path, str]]:
    """Pages and examples but for those that tell of the past, and the package itself."""
    for path in [*CHECKOUT.rglob("*.md"), *PACKAGE.rglob("*.py")]:
        place = path.relative_to(CHECKOUT if path.suffix == ".md" else PACKAGE)
        past = place.name == "CHANGELOG.md" or "decisions" in place.parts
        if not past and not any(part.startswith(".") for part in place.parts):
            yield path, path.read_text("utf-8")


def test_the_rule_finds_such_a_command() -> None:
    """A command by name is found, one with a path is not."""
    assert BY_NAME.search("pip install 'vwo-celery[demo]' x")
    assert BY_NAME.search("pip install x vwo-celery")
    assert not BY_NAME.search('pip install "CHECKOUT[demo]" vwo-fme-python-sdk')
    assert not BY_NAME.search("pip install /src/vwo-celery/")


def test_no_page_installs_from_pypi() -> None:
    """As long as it is not published, each command names a checkout."""
    assert [str(path) for path, text in texts() if BY_NAME.search(text)] == []
