"""TLS is verified, and nothing switches that off."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from tools import http_servers as servers
from tools.senders import BODY, MakeSender
from vwo_celery.sending.outcomes import Answer, Failure
from vwo_celery.settings import Settings


def tls_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def sent_over_tls(make_sender: MakeSender, context: ssl.SSLContext) -> tuple[Answer, int]:
    """The answer to one batch from a server with this certificate, and the requests that it received."""
    with servers.Server(servers.answering(), tls=context) as server:
        sender = make_sender(server.url, seconds=5.0)
        return sender.send(BODY, events=1), len(server.requests)


@pytest.mark.parametrize("wrong", ["host", "expired", "authority", "self-signed"])
def test_a_certificate_that_is_wrong_is_refused(
    make_sender: MakeSender, wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate of another host, expired, from a stranger or self-signed: the server gets
    nothing of the batch.
    """
    trusted, stranger = trustme.CA(), trustme.CA()
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    context = {
        "host": lambda: tls_of(trusted.issue_cert("vwo.example")),
        "expired": lambda: tls_of(
            trusted.issue_cert(
                "127.0.0.1", not_before=yesterday - dt.timedelta(days=9), not_after=yesterday
            )
        ),
        "authority": lambda: tls_of(stranger.issue_cert("127.0.0.1")),
        "self-signed": lambda: tls_of(stranger.issue_cert("127.0.0.1")),
    }[wrong]()
    bundle = tmp_path / "ca.pem"
    trusted.cert_pem.write_to_path(str(bundle))
    if wrong != "self-signed":  # otherwise only the system's authorities are trusted
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    answer, requests = sent_over_tls(make_sender, context)

    assert answer.failure is Failure.TLS
    assert "certificate verify failed" in answer.detail
    assert requests == 0


def test_the_right_certificate_is_accepted(
    make_sender: MakeSender, tls: ssl.SSLContext, trusted: None
) -> None:
    """The right certificate is accepted: the refusals above have no other cause."""
    answer, _ = sent_over_tls(make_sender, tls)

    assert answer.status == 200


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYTHONHTTPSVERIFY", "0"),
        *(
            (variable, value)
            for variable in (
                "REQUESTS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "SSL_CERT_FILE",
                "SSL_CERT_DIR",
            )
            for value in ("", "0", "false", "False", "none", "/dev/null", "/nowhere")
        ),
    ],
)
def test_no_variable_switches_the_verification_off(
    make_sender: MakeSender, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty or false variable, or a missing file, does not switch verification off; the server
    gets nothing of the batch.
    """
    monkeypatch.setenv(variable, value)

    answer, requests = sent_over_tls(make_sender, tls_of(trustme.CA().issue_cert("127.0.0.1")))

    assert answer.failure in (Failure.TLS, Failure.CA_BUNDLE)
    assert requests == 0


def test_no_setting_switches_the_verification_off() -> None:
    """No setting switches verification off: there is none for a typo or an old file to set."""
    words = ("verify", "tls", "ssl", "cert", "insecure", "trust")

    assert [name for name in Settings.__struct_fields__ if any(w in name for w in words)] == []
