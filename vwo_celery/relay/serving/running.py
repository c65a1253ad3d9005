"""uvicorn in this process, as our servers run it: with bounds, without an access log, until a signal.

The relay and the console are served by it. If the process dies, requests without an answer are lost.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from vwo_celery.logs import log
from vwo_celery.relay.serving.addresses import BACKLOG
from vwo_celery.relay.serving.bounds import BoundedProtocol

#: Longest time for requests that were read when the server is told to end.
STOP_SECONDS: Final = 10
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"


def configuration(
    make_app: Callable[[], Any],
    *,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    proxy_headers: bool,
    log_format: str,
) -> uvicorn.Config:
    """uvicorn's configuration for one process.

    Args:
        make_app: Makes the ASGI app in the process that serves it.
        protocol: The protocol, with its bounds.
        proxy_headers: Whether a proxy on this host tells the address of clients.
        log_format: "text" or "json".
    """
    return uvicorn.Config(
        make_app,
        factory=True,
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,  # its lines would hold keys
        log_config=logging_of(log_format),
        proxy_headers=proxy_headers,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(protocol.bounds.idle_seconds),
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=BACKLOG,
    )


def run(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serve in this process until SIGTERM or SIGINT ends it.

    uvicorn raises the signal again once it has ended; nothing else ends by it.
    """
    server = uvicorn.Server(config)

    def end(*_: Any) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    log.info("this process has ended, as it was asked to")


def logging_of(log_format: str) -> dict[str, Any]:
    """The logs of a server's processes: one line each, on the standard error."""
    form: dict[str, Any] = {"format": _TEXT}
    if log_format == "json":
        form = {"()": "vwo_celery.logs.JsonFormatter"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": form},
        "handlers": {"error": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["error"], "level": "WARNING"},
        # uvicorn warns of each request that is no HTTP, as PHP's stray bytes are.
        "loggers": {"uvicorn": {"level": "ERROR"}, "vwo_celery": {"level": "INFO"}},
    }
