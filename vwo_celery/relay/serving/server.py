"""`vwo-celery relay` as a server: its address, its processes, and its signals.

uvicorn serves, in one process, or in several that share the listening socket (see `processes`). SIGTERM
ends it: no connection is taken any more, what was read is answered within STOP_SECONDS. SIGHUP reads
the file of accounts again, in every process. If a process dies, requests without an answer may be lost,
and another takes its place; with one process, whoever started it must.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from logging.config import dictConfig
from typing import Any, Final

import uvicorn

from vwo_celery.errors import SettingsError
from vwo_celery.logs import log
from vwo_celery.relay.app import Relay
from vwo_celery.relay.making import access_of, make_relay
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.serving.bounds import BoundedProtocol
from vwo_celery.relay.serving.processes import Processes, keep_hang_ups, take_hang_ups
from vwo_celery.settings import Settings

#: Longest time for requests that were read when the server is told to end.
STOP_SECONDS: Final = 10
_BACKLOG: Final = 2048
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"


def serve(settings: Settings, *, tell: Callable[[str, str], None] = lambda *_: None) -> None:
    """Serve until a signal ends it.

    Args:
        settings: The settings.
        tell: Called once the address is bound, with the relay's URL and with whose events it takes.

    Raises:
        SettingsError: A setting is wrong, or the address cannot be used; or others than programs of
            this host could send, and nobody has said who may.
    """
    keep_hang_ups()  # until they are obeyed
    try:
        _serve(settings, tell)
    finally:
        take_hang_ups()


def _serve(settings: Settings, tell: Callable[[str, str], None]) -> None:
    access = checked_access(settings)
    make_relay(settings, access)  # what else is wrong shows now, and once
    with listener(settings) as listening:
        tell(_url_of(listening), "every account" if access.is_open else "the accounts named")
        if settings.relay_workers == 1:
            serve_here(settings, access, listening)
            return
        dictConfig(_logging(settings))
        Processes(
            serve_here, (settings, access, listening),
            count=settings.relay_workers, listening=listening, on_hup=partial(_reread, access),
        ).run()  # fmt: skip


def _reread(access: Access) -> None:
    """Read the accounts for processes that start later; those that run tell what is wrong."""
    with suppress(SettingsError):
        access.reread()


def serve_here(settings: Settings, access: Access, listening: socket.socket) -> None:
    """Serve in this process until a signal ends it.

    uvicorn raises the signal again once it has ended; nothing else ends by it.
    """
    server = uvicorn.Server(configure(settings, access))

    def end(*_: Any) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    log.info("this process has ended, as it was asked to")


def configure(settings: Settings, access: Access) -> uvicorn.Config:
    """uvicorn's configuration for one process of the relay."""
    bounds = BoundedProtocol.bounds
    return uvicorn.Config(
        partial(make_served_app, settings, access),
        factory=True,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,  # its lines would hold SDK keys
        log_config=_logging(settings),
        proxy_headers=bool(settings.relay_allowed_origins),  # nobody else's address is used
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(bounds.idle_seconds),
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=_BACKLOG,
    )


def checked_access(settings: Settings) -> Access:
    """Who may send; without a list everybody, if only programs of this host can connect.

    Raises:
        SettingsError: See `serve`.
    """
    host, _ = address_of(settings)
    access = access_of(settings)
    if access.is_open and not is_loopback(host):
        raise SettingsError(
            f"relay_listen {settings.relay_listen} can be reached from other machines: name the accounts "
            "that may send, by --account ACCOUNT=KEY or --accounts FILE, or listen on 127.0.0.1"
        )
    return access


def make_served_app(settings: Settings, access: Access) -> Relay:
    """The relay's app in the process that serves it: it obeys SIGHUP."""
    app = make_relay(settings, access, listens=settings.relay_listen)
    with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
        # There is no such signal on Windows, and no handler outside of the main thread.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, app.reread_access)
        take_hang_ups()
    for account in access.open_accounts:
        log.warning("events of account %s are taken with any key", account)
    log.info("this process serves")
    return app


# -- the address


def address_of(settings: Settings) -> tuple[str, int]:
    """Host and port to listen on.

    Raises:
        SettingsError: The port is beyond 65535.
    """
    host, _, port = settings.relay_listen.rpartition(":")
    if int(port) > 65_535:
        raise SettingsError(f"relay_listen {settings.relay_listen} has a port beyond 65535")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only programs of this host can connect to an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listener(settings: Settings) -> socket.socket:
    """A socket that listens on the relay's address.

    Raises:
        SettingsError: It cannot be bound.
    """
    host, port = address_of(settings)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as exc:
        raise SettingsError(
            f"relay_listen {settings.relay_listen} cannot be used: {exc.strerror or exc}"
        ) from exc
    listening.set_inheritable(True)
    return listening


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _logging(settings: Settings) -> dict[str, Any]:
    """The logs of the relay's processes: one line each, on the standard error."""
    form: dict[str, Any] = {"format": _TEXT}
    if settings.log_format == "json":
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
