"""Senders to servers of the test's own, an authority for TLS, and no proxy but the test's."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tools.senders import KEY, MakeSender
from vwo_celery.destinations import Destination, Generation
from vwo_celery.sending.sender import Sender

VARIABLES = (
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONHTTPSVERIFY",
    "NETRC", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no CA bundle except those a test sets."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Make the sender trust the authority, as an operator does."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    return


@pytest.fixture(params=["http", "https"])
def scheme_tls(
    request: pytest.FixtureRequest, tls: ssl.SSLContext, trusted: None
) -> ssl.SSLContext | None:
    """None for http, a context for https."""
    return tls if request.param == "https" else None


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """Make senders that are closed after the test."""
    made: list[Sender] = []

    def make(base_url: str, *, seconds: float = 20.0, generation: Generation = "fme") -> Sender:
        destination = Destination(
            account_id=1, sdk_key=KEY, generation=generation, base_url=base_url
        )
        hosts = ["127.0.0.1", "localhost", "vwo-celery.invalid"]
        made.append(Sender(destination, request_timeout_seconds=seconds, allowed_hosts=hosts))
        return made[-1]

    yield make
    for sender in made:
        sender.close()
