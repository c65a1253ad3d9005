"""Map the exceptions of the HTTP libraries to the words of `outcomes.Failure`.

Between send and settle. requests, urllib3, http.client, ssl and socket each raise exceptions of their
own out of one POST; no other module needs to know them. No state: nothing to lose with the process.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Final

import requests.exceptions as rq
import urllib3.exceptions as u3

from vwo_celery.sending.outcomes import Failure


class BundleUnusable(rq.SSLError):
    """This worker's CA bundle cannot be loaded; nothing was sent."""


#: The word for each exception that the HTTP libraries raise. One that is not listed counts as its
#: nearest base; a test walks `requests.exceptions` and fails on one that is not listed.
FAILURES: Final[dict[type[Exception], Failure]] = {
    rq.RequestException: Failure.UNKNOWN,
    rq.HTTPError: Failure.UNKNOWN,
    rq.UnrewindableBodyError: Failure.UNKNOWN,
    rq.ConnectionError: Failure.CONNECTION,
    rq.RetryError: Failure.CONNECTION,
    rq.ProxyError: Failure.PROXY,
    rq.InvalidProxyURL: Failure.PROXY,
    rq.SSLError: Failure.TLS,
    BundleUnusable: Failure.CA_BUNDLE,
    rq.Timeout: Failure.TIMEOUT,
    rq.ConnectTimeout: Failure.TIMEOUT,
    rq.ReadTimeout: Failure.TIMEOUT,
    rq.InvalidJSONError: Failure.INVALID_ANSWER,
    rq.JSONDecodeError: Failure.INVALID_ANSWER,
    rq.ChunkedEncodingError: Failure.INVALID_ANSWER,
    rq.ContentDecodingError: Failure.INVALID_ANSWER,
    rq.StreamConsumedError: Failure.INVALID_ANSWER,
    rq.URLRequired: Failure.CONFIGURATION,
    rq.MissingSchema: Failure.CONFIGURATION,
    rq.InvalidSchema: Failure.CONFIGURATION,
    rq.InvalidURL: Failure.CONFIGURATION,
    rq.InvalidHeader: Failure.CONFIGURATION,
    rq.TooManyRedirects: Failure.CONFIGURATION,
    u3.HTTPError: Failure.CONNECTION,
    u3.TimeoutError: Failure.TIMEOUT,
    u3.ProxyError: Failure.PROXY,
    u3.SSLError: Failure.TLS,
    u3.DecodeError: Failure.INVALID_ANSWER,
    u3.InvalidHeader: Failure.INVALID_ANSWER,  # two lengths; requests says InvalidHeader of our own
    u3.LocationValueError: Failure.CONFIGURATION,
    http.client.HTTPException: Failure.INVALID_ANSWER,
    socket.gaierror: Failure.DNS,
    ssl.SSLError: Failure.TLS,
    TimeoutError: Failure.TIMEOUT,
    OSError: Failure.CONNECTION,
    ValueError: Failure.CONFIGURATION,  # a key, host or port that HTTP cannot carry
}
#: The text about a proxy whose answer to CONNECT is a 5xx.
_TUNNEL_FAILED: Final = re.compile(r"Tunnel connection failed: 5\d\d\b")
#: Exceptions that a POST may raise without a fault in this package.
FORESEEN: Final = tuple(FAILURES)


def explain(exc: BaseException) -> tuple[Failure, str]:
    """Return the word for an exception of the HTTP libraries, and its innermost reason as a text."""
    failure, root = _named(exc), _root(exc)
    if failure is Failure.PROXY and _TUNNEL_FAILED.match(str(root)):
        failure = Failure.CONNECTION  # the proxy works, and does not reach the host
        return failure, str(root)
    # requests raises ConnectionError also for DNS, timeouts and TLS, and InvalidHeader also for an
    # answer's headers: the innermost exception is more exact.
    if failure in (Failure.CONNECTION, Failure.CONFIGURATION):
        failure = _named(root)
    return failure, str(root) or type(root).__name__


def _named(exc: BaseException) -> Failure:
    known = (FAILURES[kind] for kind in type(exc).__mro__ if kind in FAILURES)
    return next(known, Failure.UNKNOWN)


def _root(exc: BaseException) -> BaseException:
    """Return the innermost exception of a chain of wrappers; its text holds no URL."""
    wrapped = [exc.__cause__, getattr(exc, "reason", None), *exc.args]
    inner = next((part for part in wrapped if isinstance(part, BaseException)), None)
    return exc if inner is None else _root(inner)
