"""JSON documents, which `--json` prints, and other text for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import msgspec

from vwo_celery.text.lines import json_for_terminals


def print_json(document: Any) -> None:
    """Print one JSON document, in which a terminal finds nothing to obey."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    click.echo(json_for_terminals(text))


def print_json_list(documents: Iterable[Any]) -> None:
    """Print a JSON list, one element after the other, however many there are."""
    begun = False
    for each in documents:
        text = msgspec.json.format(msgspec.json.encode(each), indent=2).decode()
        lines = json_for_terminals(text).replace("\n", "\n  ")
        click.echo(f"{',' if begun else '['}\n  {lines}", nl=False)
        begun = True
    click.echo("\n]" if begun else "[]")


def print_json_line(document: Any) -> None:
    """Print one JSON document on one line, as of a stream of them."""
    click.echo(json_for_terminals(msgspec.json.encode(document).decode()))


def print_script(text: str) -> None:
    """Print a script of ours for another program."""
    click.echo(text)
