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
from logging.config import dictConfig
from typing import TYPE_CHECKING, Final

from vwo_celery.errors import SettingsError
from vwo_celery.logs import log
from vwo_celery.relay.app import Relay
from vwo_celery.relay.making import access_of, make_relay
from vwo_celery.relay.rules.access import Access
from vwo_celery.relay.serving.addresses import address_of, is_loopback, listener, url_of
from vwo_celery.relay.serving.processes import Processes, keep_hang_ups, take_hang_ups
from vwo_celery.relay.serving.running import configuration, logging_of, run
from vwo_celery.settings import Settings

if TYPE_CHECKING:
    import uvicorn

_LISTEN: Final = "relay_listen"


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
    with listener(settings.relay_listen, _LISTEN) as listening:
        tell(url_of(listening), "every account" if access.is_open else "the accounts named")
        if settings.relay_workers == 1:
            serve_here(settings, access, listening)
            return
        dictConfig(logging_of(settings.log_format))
        Processes(
            serve_here, (settings, access, listening),
            count=settings.relay_workers, listening=listening, on_hup=partial(_reread, access),
        ).run()  # fmt: skip


def _reread(access: Access) -> None:
    """Read the accounts for processes that start later; those that run tell what is wrong."""
    with suppress(SettingsError):
        access.reread()


def serve_here(settings: Settings, access: Access, listening: socket.socket) -> None:
    """Serve in this process until a signal ends it."""
    run(configure(settings, access), listening)


def configure(settings: Settings, access: Access) -> uvicorn.Config:
    """uvicorn's configuration for one process of the relay."""
    return configuration(
        partial(make_served_app, settings, access),
        proxy_headers=bool(settings.relay_allowed_origins),  # nobody else's address is used
        log_format=settings.log_format,
    )


def checked_access(settings: Settings) -> Access:
    """Who may send; without a list everybody, if only programs of this host can connect.

    Raises:
        SettingsError: See `serve`.
    """
    host, _ = address_of(settings.relay_listen, _LISTEN)
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
