"""The demo's VWO: the stand-in, with the made-up account and a journal of the events it took.

    python -m vwo_celery.demo.standin --host 0.0.0.0 --port 8080

The far end of an event's way. Ends on SIGTERM.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from queue import SimpleQueue

import click

from vwo_celery.demo.account import ACCOUNT_ID, SDK_KEY, vwo_settings
from vwo_celery.demo.children import die_with_demo
from vwo_celery.demo.recording_queue import digest
from vwo_celery.testing import Fault, Request, Standin
from vwo_celery.testing.standin.rules import Answer


class JournalingStandin(Standin):
    """A stand-in that writes down the digest of each event it takes, before it answers."""

    def __init__(self, journal: Path | None, *, host: str, port: int, latency_ms: int) -> None:
        super().__init__(
            host=host,
            port=port,
            accounts={ACCOUNT_ID: SDK_KEY},
            settings=vwo_settings(),
            latency_seconds=latency_ms / 1000,
            record=False,
        )
        self._journal = journal
        self._writing = threading.Lock()

    def answer(self, request: Request) -> tuple[Answer, Fault]:
        """Decide about *request*, and write down what was taken."""
        answer, fault = super().answer(request)
        if self._journal is not None and answer.events:
            lines = "".join(f"{digest(event)}\n" for event in answer.events)
            with self._writing, self._journal.open("a", encoding="ascii") as journal:
                journal.write(lines)
        return answer, fault


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="TCP port.")
@click.option(
    "--latency-ms", default=80, show_default=True, help="Shortest time to answer a batch."
)
@click.option("--journal", type=click.Path(path_type=Path), help="File for digests of the events.")
def main(host: str, port: int, latency_ms: int, journal: Path | None) -> None:
    """Play VWO for the demo's account; GET /stats counts what has arrived, GET /health answers."""
    die_with_demo()
    # put() in a signal handler may interrupt get(); an Event's set() could deadlock with its wait().
    stopped: SimpleQueue[None] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: stopped.put(None))
    signal.signal(signal.SIGINT, lambda *_: stopped.put(None))
    with JournalingStandin(journal, host=host, port=port, latency_ms=latency_ms) as standin:
        click.echo(f"stand-in for VWO on {standin.url}")
        stopped.get()


if __name__ == "__main__":
    main(prog_name="python -m vwo_celery.demo.standin")
