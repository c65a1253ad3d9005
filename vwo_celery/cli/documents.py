"""JSON documents, which `--json` prints."""

from __future__ import annotations

from typing import Any

import click
import msgspec


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
