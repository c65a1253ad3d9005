"""What commands that serve have in common: what they need, their settings, and the URL they print.

Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import click
import msgspec

from vwo_celery.cli.shared.documents import print_json_line
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session
from vwo_celery.settings import Settings

#: How pip takes what the server of relay and console needs.
_SERVER = "'uvicorn>=0.30' httptools uvloop"


def check_installed(what: str, modules: Sequence[str], extra: str, *more: str) -> None:
    """Return if all of these modules are there.

    Args:
        what: What needs them, such as "the relay".
        modules: Their names.
        extra: Our extra that brings them.
        more: What pip has to install besides the server.

    Raises:
        click.ClickException: One is missing; the message says what to install.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{what} needs {' and '.join(missing)}, not installed here: pip install "
            f"{' '.join((_SERVER, *more))}, or install this package with its extra [{extra}]"
        )


def with_options(session: Session, options: Mapping[str, Any]) -> Settings:
    """The session's settings with what was given on the command line.

    Raises:
        SettingsError: An option is wrong.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    return Settings(**{**msgspec.structs.asdict(session.settings), **given})


def tell_url(session: Session, url: str, words: str) -> None:
    """Print where a server listens: in words, or as one JSON document."""
    if session.json:
        print_json_line({"url": url})
    else:
        print_line(words, err=True)
