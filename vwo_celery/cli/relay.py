"""`vwo-celery relay`: the HTTP server for VWO's SDKs of every language.

It translates its options into settings, and serves until a signal ends it; see `vwo_celery.relay`.
"""

from __future__ import annotations

from typing import Any

import click

from vwo_celery.cli.shared.serving import check_installed, tell_url, with_options
from vwo_celery.cli.shared.session import Session, common_options, json_option

_SERVER = ("uvicorn", "httptools")


@click.command()
@click.option(
    "--listen", "relay_listen", metavar="HOST:PORT",
    help="Address.  [default: VWO_CELERY_RELAY_LISTEN, or 127.0.0.1:8099]",
)  # fmt: skip
@click.option(
    "--account", "relay_accounts", metavar="ACCOUNT=KEY", multiple=True,
    help="An account and SDK key whose events are taken; * for any key; may be repeated.",
)  # fmt: skip
@click.option(
    "--accounts", "relay_accounts_file", metavar="FILE",
    help="A file with further ones, as lines or as JSON; SIGHUP reads it again.",
)  # fmt: skip
@click.option(
    "--upstream", "relay_upstream", metavar="URL",
    help="Stands for VWO's hosts in all that is forwarded; workers need it in allowed_hosts.",
)  # fmt: skip
@click.option(
    "--gateway-upstream", "relay_gateway_upstream", metavar="URL",
    help="VWO's gateway, for what FME SDKs ask one.  [default: --upstream, or none]",
)  # fmt: skip
@click.option(
    "--workers", "relay_workers", type=int, metavar="N",
    help="Processes.  [default: VWO_CELERY_RELAY_WORKERS, or 1]",
)  # fmt: skip
@common_options
@json_option
@click.pass_context
def relay(context: click.Context, /, **options: Any) -> None:
    """Take the events of VWO's SDKs of every language over HTTP, and store them on the queue.

    An SDK is pointed at it by its own proxy option. An event is answered 200 once it is in Redis or on
    this host's disk. SIGTERM or Ctrl-C ends it; what was read is stored and answered before. With
    --json it prints its URL as one JSON document once it listens.
    """
    check_installed("the relay", _SERVER, "relay")
    from vwo_celery.relay.serving.server import serve

    session = context.ensure_object(Session)

    def tell(url: str, who: str) -> None:
        tell_url(session, url, f"the relay listens on {url} and takes the events of {who}")

    serve(with_options(session, options), tell=tell)
