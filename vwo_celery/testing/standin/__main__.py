"""The stand-in as a program of its own: `python -m vwo_celery.testing.standin`.

Ends on SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click

from vwo_celery.testing.standin.server import Standin


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="TCP port; 0 for a free one.")
@click.option("--latency-ms", default=0, show_default=True, help="Shortest time to answer a batch.")
@click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file that SDKs get as their settings; without it they get none, and 404.",
)
@click.option(
    "--fme-settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same for FME SDKs, where theirs differ.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="ID=KEY",
    help="A known account; may be repeated. Without it, every account is known.",
)
def main(
    host: str,
    port: int,
    latency_ms: int,
    settings: Path | None,
    fme_settings: Path | None,
    accounts: tuple[str, ...],
) -> None:
    """Play VWO's collection server; GET /stats counts what has arrived, GET /health answers."""
    standin = Standin(
        host=host,
        port=port,
        accounts=_known(accounts),
        settings=_load(settings, "--settings"),
        fme_settings=_load(fme_settings, "--fme-settings"),
        latency_seconds=latency_ms / 1_000,
        record=False,
    )
    # put() in a signal handler may interrupt get(); an Event's set() could deadlock with its wait().
    stopped: SimpleQueue[None] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: stopped.put(None))
    signal.signal(signal.SIGINT, lambda *_: stopped.put(None))
    with standin:
        click.echo(f"stand-in for VWO on {standin.url}")
        stopped.get()


def _known(accounts: tuple[str, ...]) -> dict[str, str] | None:
    pairs = [account.partition("=") for account in accounts]
    if any(not name.isdecimal() or not key for name, _, key in pairs):
        raise click.BadParameter("an account is given as ID=KEY", param_hint="--account")
    return {name: key for name, _, key in pairs} or None


def _load(path: Path | None, option: str) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{path}: no JSON: {error}", param_hint=option) from None


if __name__ == "__main__":
    main(prog_name="python -m vwo_celery.testing.standin")
