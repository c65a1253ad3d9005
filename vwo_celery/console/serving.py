"""`vwo-celery web` as a server: who may come in, its address, and the relay's uvicorn in one process.

SIGTERM ends it: what was read is answered. If it dies, whoever started it starts it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from vwo_celery.console.access.credentials import Credentials
from vwo_celery.console.access.guard import Guard
from vwo_celery.console.console import Console
from vwo_celery.console.doors.asgi import asgi_app, below
from vwo_celery.console.shared.exchange import MOST_BODY_BYTES
from vwo_celery.errors import SettingsError
from vwo_celery.operating.past.audit import actor_of_cli
from vwo_celery.relay.rules.limits import Bounds
from vwo_celery.relay.serving.addresses import address_of, is_loopback, listener, url_of
from vwo_celery.settings import Settings
from vwo_celery.text.wording import page

_LISTEN: Final = "console_listen"
#: A console needs few connections, and its requests are small.
_BOUNDS: Final = Bounds(
    body_bytes=MOST_BODY_BYTES, connections=256, held_bytes=32 * MOST_BODY_BYTES
)


class Exposed(SettingsError):
    """Others than programs of this host could connect, and nobody has said who may come in."""


def serve(
    settings: Settings,
    *,
    prefix: str = "",
    read_only: bool = False,
    app: Any = "",
    tell: Callable[[str, str], None] = lambda *_: None,
) -> None:
    """Serve the console until a signal ends it.

    Args:
        settings: The settings.
        prefix: The path below which a proxy asks for it, such as "/vwo"; needed only where the proxy
            does not take it away.
        read_only: Whether nobody may change anything.
        app: Your Celery app, or its name as `celery -A` takes it, if workers do not run
            `vwo_celery.celery.app`.
        tell: Called once the address is bound, with the console's URL and with who may come in.

    Raises:
        Exposed: See there.
        SettingsError: A setting is wrong, or the address or the file cannot be used.
    """
    from vwo_celery.relay.serving.bounds import bounded
    from vwo_celery.relay.serving.running import configuration, run

    guard = checked_guard(settings, read_only=read_only)
    console = Console(settings, guard, app=app)
    with listener(settings.console_listen, _LISTEN) as listening:
        tell(f"{url_of(listening)}{prefix}/", describe(settings, read_only=read_only))
        config = configuration(
            partial(_app, console, prefix),
            protocol=bounded(_BOUNDS),
            proxy_headers=bool(settings.console_credentials_file),  # else a proxy is refused
            log_format=settings.log_format,
        )
        run(config, listening)


def _app(console: Console, prefix: str) -> Callable[..., Any]:
    return below(prefix, asgi_app(console.respond))


def checked_guard(settings: Settings, *, read_only: bool = False) -> Guard:
    """Who may come in.

    Raises:
        SettingsError: See `serve`.
    """
    host, _ = address_of(settings.console_listen, _LISTEN)
    path = settings.console_credentials_file
    if not path and not is_loopback(host):
        raise Exposed(
            f"console_listen {settings.console_listen} can be reached from other machines: say who may "
            f"come in, by --credentials FILE (see {page('docs/how-to/console.md')}), or listen on "
            "127.0.0.1"
        )
    return Guard(
        Credentials(path) if path else None,
        hosts=settings.console_hosts,
        local_name=actor_of_cli("console").name,
        read_only=read_only,
    )


def describe(settings: Settings, *, read_only: bool) -> str:
    """Who may come in, in words."""
    who = "everybody on this host may come in"
    if settings.console_credentials_file:
        who = f"those in {settings.console_credentials_file} may come in"
    return f"{who}, and nobody may change anything" if read_only else who
