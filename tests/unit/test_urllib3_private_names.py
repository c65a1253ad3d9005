"""The private names of urllib3 and http.client that sending/ relies on exist in what is installed.

Without one of them, in a new release, a POST's deadline would fail or silently not hold, or VWO would
not get the key.
"""

from __future__ import annotations

from http.client import HTTPConnection as StandardConnection
from types import FunctionType
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

HOST = "vwo.example"

#: Methods that urllib3 itself must call, and the purpose of their overrides.
CALLED = {
    "_new_conn": "opens the socket, within the time that is left",
    "_tunnel": "lowers the socket's timeout between a proxy's CONNECT and the TLS handshake",
}


def complaints(kind: type[Any]) -> list[str]:
    """The private names that a connection class of urllib3 lacks, each with the remedy."""
    release = f"urllib3 {urllib3.__version__}: {kind.__name__}"
    remedy = (
        "mend vwo_celery/sending/deadline.py, "
        "then run tests/integration/sending/test_sender_deadlines.py"
    )
    methods = [
        method
        for base in kind.__mro__
        if base is not StandardConnection
        for method in vars(base).values()
        if isinstance(method, FunctionType)
    ]
    called = {name for method in methods for name in method.__code__.co_names}
    found = []
    for name, purpose in CALLED.items():
        if not hasattr(kind, name):
            found.append(
                f"{release} has no {name}, which deadline.py overrides: it {purpose}; {remedy}"
            )
        elif name not in called:
            found.append(f"{release} no longer calls {name}, whose override {purpose}; {remedy}")
    if getattr(kind(HOST), "_dns_host", None) != HOST:
        found.append(
            f"{release} does not keep the host's name in _dns_host, which deadline.py resolves; {remedy}"
        )
    return found


@pytest.mark.parametrize("kind", [HTTPConnection, HTTPSConnection])
def test_urllib3_has_the_private_names(kind: type[Any]) -> None:
    """Both kinds of connection call what deadline.py overrides, and have the names that it reads."""
    assert complaints(kind) == []


class Renamed:
    """A urllib3 connection in which all three names were renamed."""

    def __init__(self, host: str) -> None:
        self._host_to_resolve = host

    def connect(self) -> None:
        """Open the socket under another name."""


class Bypassed(Renamed):
    """A urllib3 connection that still has both methods but calls neither."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self._dns_host = host

    def _new_conn(self) -> None: ...

    def _tunnel(self) -> None: ...


def test_each_missing_name_is_told() -> None:
    """The messages name the missing name and the file to mend."""
    told = complaints(Renamed)

    assert "has no _new_conn" in told[0]
    assert "has no _tunnel" in told[1]
    assert "in _dns_host" in told[2]
    assert all("mend vwo_celery/sending/deadline.py" in text for text in told)


def test_a_method_that_is_no_longer_called_is_told() -> None:
    """An override that urllib3 no longer calls is reported: a connection would have no deadline."""
    told = complaints(Bypassed)

    assert [text.partition("calls ")[2].partition(",")[0] for text in told] == [
        "_new_conn",
        "_tunnel",
    ]


def test_http_client_makes_the_request_line_where_we_look() -> None:
    """Its `putrequest` calls `_encode_request`, by which sending/request_line.py writes the key."""
    assert "_encode_request" in StandardConnection.putrequest.__code__.co_names
