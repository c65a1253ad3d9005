"""`vwo-celery web`: the console in a browser, until a signal ends it; see `vwo_celery.console`."""

from __future__ import annotations

from typing import Any

import click

from vwo_celery.cli.shared.serving import check_installed, tell_url, with_options
from vwo_celery.cli.shared.session import Session, common_options, json_option

_NEEDED = ("uvicorn", "httptools", "jinja2")


def _read_prefix(context: click.Context, parameter: click.Parameter, text: str) -> str:
    prefix = text.rstrip("/")
    if prefix and (not prefix.startswith("/") or any(c in prefix for c in "?#")):
        raise click.BadParameter(f"{text!r} is no path such as /vwo", ctx=context, param=parameter)
    return prefix


@click.command()
@click.option(
    "--listen", "console_listen", metavar="HOST:PORT",
    help="Address.  [default: VWO_CELERY_CONSOLE_LISTEN, or 127.0.0.1:8000]",
)  # fmt: skip
@click.option(
    "--credentials", "console_credentials_file", metavar="FILE",
    help="Those who may come in, a line each: NAME ROLE SECRET.",
)  # fmt: skip
@click.option(
    "--host", "console_hosts", metavar="NAME", multiple=True,
    help="A name by which browsers may ask for it; may be repeated.",
)  # fmt: skip
@click.option(
    "--prefix", default="", callback=_read_prefix, metavar="PATH",
    help="Path below which a proxy asks for it, such as /vwo.",
)  # fmt: skip
@click.option("--read-only", is_flag=True, help="Nobody may change anything.")
@click.option(
    "-A", "--app", metavar="APP", default="",
    help="Your Celery app, as `celery -A` takes it, unless workers run vwo_celery.celery.app.",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def web(
    context: click.Context, /, prefix: str, *, read_only: bool, app: str, **options: Any
) -> None:
    """Serve the console: all queues in a browser, and an API for programs.

    Without --credentials only programs of this host can connect, and may do everything. SIGTERM or
    Ctrl-C ends it. With --json it prints its URL as one JSON document once it listens. Exits 2 if
    others could connect, and nobody has said who may come in.
    """
    check_installed("the console", _NEEDED, "console", "jinja2")
    from vwo_celery.console.serving import Exposed, serve

    session = context.ensure_object(Session)
    if app:
        from vwo_celery.celery.worker.background import app_of

        app_of(session.settings, app)  # now, rather than when somebody orders work of a worker
    try:
        serve(
            with_options(session, options), prefix=prefix, read_only=read_only,
            app=app or session.celery_app or "",
            tell=lambda url, who: tell_url(session, url, f"the console is at {url}; {who}"),
        )  # fmt: skip
    except Exposed as exc:
        raise click.UsageError(str(exc)) from exc
