"""Whether Celery's broker in Redis is checked to be the server that was meant.

kombu takes `rediss://` for TLS without any check, and redis-py 5 does not check the host's name by
itself. Where the broker is made from our settings, `RedisUrl.as_broker_url` asks for both; a project's
own broker is only reported. Connects to nothing: nothing to lose.
"""

from __future__ import annotations

from typing import Final

from celery import Celery

from vwo_celery.connections import CHECKS_NAME_BY_ITSELF
from vwo_celery.logs import log

#: Spellings of no check at all; 0 is that of the module ssl.
_NONE: Final = (None, "none", 0)

REMEDY = (
    "add ?ssl_cert_reqs=required&ssl_check_hostname=true to the broker's URL (ssl_ca_certs=FILE for "
    "an authority of your own), or set both in broker_use_ssl"
)


def gap_in_tls(app: Celery) -> str:
    """The check that TLS to the broker leaves out; "" for none, and for a broker without TLS."""
    with app.connection_for_read() as connection:
        options = connection.ssl
        if not options or connection.transport.driver_type != "redis":
            return ""
    if not isinstance(options, dict):
        return "is not encrypted: for Redis, broker_use_ssl must be a dict"
    if options.get("ssl_cert_reqs", "required") in _NONE:
        return "is taken without a check of its certificate, so that anybody may pose as it"
    if not options.get("ssl_check_hostname", CHECKS_NAME_BY_ITSELF):
        return (
            "is taken with a certificate for any name, so that any host with one of the same "
            "authority may pose as it"
        )
    return ""


def warn_of_gap(app: Celery) -> None:
    """Log what TLS to the broker does not check, as a worker starts."""
    if gap := gap_in_tls(app):
        log.warning("Celery's broker %s, and gets its password; %s", gap, REMEDY)
