"""`vwo-celery dev`: all that local development needs, in one terminal, until Ctrl-C.

Exit codes: 0 ended by a signal, 1 a program ended by itself or could not be started.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from vwo_celery.demo.account import ACCOUNT_ID, FLAG, SDK_KEY
from vwo_celery.demo.command import signals_counted
from vwo_celery.demo.workbench import Wishes, Workbench
from vwo_celery.errors import VwoCeleryError
from vwo_celery.text.lines import one_line

_OUR_APP = "vwo_celery.celery.app"
_STYLES = {"vwo": "magenta", "worker": "cyan", "beat": "blue", "dev": "bold green"}
_NAME_WIDTH = max(map(len, _STYLES))
_POLL_SECONDS = 0.1


@click.command()
@click.option(
    "--redis-url", metavar="URL", default="", help="A Redis that runs already; else one is started."
)
@click.option(
    "-A", "--app", metavar="APP", default=_OUR_APP, help="Your Celery app, as celery -A takes it."
)
@click.option(
    "--port", type=click.IntRange(1, 65_535),
    help="Port of the stand-in for VWO; 8080, or a free one.",
)  # fmt: skip
@click.option(
    "--redis-port", type=click.IntRange(1, 65_535),
    help="Port of the Redis that is started; 6379, or a free one.",
)  # fmt: skip
@click.option(
    "--data", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
    help="Keep the events of the Redis that is started in this folder.",
)  # fmt: skip
def dev(
    redis_url: str, app: str, port: int | None, redis_port: int | None, data: Path | None
) -> None:
    """Start what local development needs: Redis, a stand-in for VWO, a worker and beat.

    Shows their logs as one, and what to set in your own program: what is not pointed at the stand-in
    goes to VWO. Ctrl-C ends all of it and leaves nothing, unless --data keeps the events.
    """
    if redis_url and (redis_port is not None or data is not None):
        raise click.UsageError("--redis-port and --data are of the Redis that is started here")
    data = data.absolute() if data is not None else None
    with signals_counted() as signals:
        code = _run(Wishes(redis_url, port, redis_port, data, app), signals)
    sys.exit(code)


def _run(wishes: Wishes, signals: Callable[[], int]) -> int:
    screen = Console(highlight=False, soft_wrap=True)
    try:
        bench = Workbench(wishes)
    except OSError as exc:
        _tell_failure(screen, exc)
        return 1
    try:
        _say(screen, "dev", "starting Redis, a stand-in for VWO, a worker and beat; some seconds")
        bench.start()
        return _follow(screen, bench, signals)
    except (VwoCeleryError, OSError) as exc:
        _tell_failure(screen, exc)
        return 1
    finally:
        with suppress(OSError, SystemExit):
            _say(screen, "dev", "ending everything that was started")
        bench.close(hurry=lambda: signals() > 1)


def _tell_failure(screen: Console, exc: Exception) -> None:
    """Say why it does not start, if anybody reads still; the end of a program's log has lines."""
    with suppress(OSError, SystemExit):
        for line in f"cannot start: {exc}".splitlines():
            _say(screen, "dev", line, "red")


def _follow(screen: Console, bench: Workbench, signals: Callable[[], int]) -> int:
    """Show the logs until a signal comes or a program ends."""
    is_ready = False
    while not signals():
        ended = bench.ended()
        for name, line in bench.new_lines():
            if line.strip():
                _say(screen, name, line)
        if ended is not None:
            name, code, tail = ended
            _say(
                screen,
                "dev",
                f"{name} has ended by itself, exit code {code}; its last lines:",
                "red",
            )
            for line in tail.splitlines()[-10:]:
                _say(screen, name, line, "red")
            return 1
        if not is_ready and bench.ready:
            is_ready = True
            _welcome(screen, bench)
        time.sleep(_POLL_SECONDS)
    return 0


def _welcome(screen: Console, bench: Workbench) -> None:
    """Say what to paste, and what to do next."""
    lines = [f"export {name}={text}" for name, text in bench.variables.items()]
    for line in (
        "ready. In another terminal, paste:",
        "",
        *(f"  {line}" for line in lines),
        "",
        "and let VWO's SDK use the stand-in, which knows every account and one flag:",
        "",
        f'  "proxy_url": "http://localhost:{bench.port}", "account_id": {ACCOUNT_ID}, '
        f'"sdk_key": "{SDK_KEY}", flag "{FLAG}"',
        f'  without an SDK: Destination(..., base_url="http://localhost:{bench.port}")',
        "",
        f"then: vwo-celery status; curl localhost:{bench.port}/stats. Ctrl-C ends everything.",
    ):
        _say(screen, "dev", line)


def _say(screen: Console, name: str, line: str, style: str = "") -> None:
    prefix = (f"{name:<{_NAME_WIDTH}} | ", _STYLES.get(name, ""))
    screen.print(Text.assemble(prefix, (one_line(line), style)))
