"""Whether Celery's broker behind TLS is checked to be the server that was meant.

kombu takes `rediss://` for TLS without any check, and redis-py 5 does not check the host's name by
itself. Where the broker is made from our settings, `RedisUrl.as_broker_url` asks for both. Of
`amqps://` py-amqp checks the certificate, and its name only where `server_hostname` says which
(`amqp/transport.py`, 5.3). What a project's own broker leaves out is only reported. Connects to
nothing: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from celery import Celery

from vwo_celery.connections import CHECKS_NAME_BY_ITSELF
from vwo_celery.logs import log

#: Spellings of no check at all; 0 is that of the module ssl.
_NONE: Final = (None, "none", 0)
_REMEDY: Final = {
    "redis": (
        "add ?ssl_cert_reqs=required&ssl_check_hostname=true to the broker's URL (ssl_ca_certs=FILE "
        "for an authority of your own), or set both in broker_use_ssl"
    ),
    "amqp": (
        "set broker_use_ssl to {'server_hostname': HOST}, with 'ca_certs': FILE for an authority of "
        "your own"
    ),
}
_NO_CHECK: Final = "is taken without a check of its certificate, so that anybody may pose as it"
_ANY_NAME: Final = (
    "is taken with a certificate for any name, so that any host with one of the same authority may "
    "pose as it"
)


class Gap(NamedTuple):
    """A check that TLS to the broker leaves out, and what is to be done; both empty for none."""

    what: str = ""
    remedy: str = ""


def gap_in_tls(app: Celery) -> Gap:
    """The check that TLS to the broker leaves out; none also for a broker without TLS."""
    with app.connection_for_read() as connection:
        driver = connection.transport.driver_type  # reading it turns TLS on for amqps
        options = connection.ssl
    if not options or driver not in _REMEDY:
        return Gap()
    what = _of_redis(options) if driver == "redis" else _of_rabbitmq(options)
    return Gap(what, _REMEDY[driver]) if what else Gap()


def _of_redis(options: Any) -> str:
    if not isinstance(options, dict):
        return "is not encrypted: for Redis, broker_use_ssl must be a dict"
    if options.get("ssl_cert_reqs", "required") in _NONE:
        return _NO_CHECK
    if not options.get("ssl_check_hostname", CHECKS_NAME_BY_ITSELF):
        return _ANY_NAME
    return ""


def _of_rabbitmq(options: Any) -> str:
    given: Mapping[str, Any] = options if isinstance(options, dict) else {}
    if "context" in given:  # the project's own, which may check anything
        return ""
    if "cert_reqs" in given and given["cert_reqs"] == 0:
        return _NO_CHECK
    return "" if "server_hostname" in given else _ANY_NAME


def warn_of_gap(app: Celery) -> None:
    """Log what TLS to the broker does not check, as a worker starts."""
    gap = gap_in_tls(app)
    if gap.what:
        log.warning("Celery's broker %s, and gets its password; %s", gap.what, gap.remedy)
