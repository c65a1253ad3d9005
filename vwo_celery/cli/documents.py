"""JSON documents, which `--json` prints."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from vwo_celery.text.lines import json_for_terminals


def print_json(document: Any) -> None:
    """Print one JSON document, in which a terminal finds nothing to obey."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    click.echo(json_for_terminals(text))
