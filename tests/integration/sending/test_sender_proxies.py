"""The sender through proxies and TLS: what is used, what is refused, and whose failure it is."""

from __future__ import annotations

import base64
import logging
import ssl
from pathlib import Path

import pytest
import trustme

from tools import http_servers as servers
from tools.senders import BODY, KEY, MakeSender
from vwo_celery.sending.outcomes import Failure, Verdict, judge


def test_an_unknown_certificate_is_refused(make_sender: MakeSender, tls: ssl.SSLContext) -> None:
    """Without its authority in the bundle, a server gets nothing of the batch."""
    with servers.Server(servers.answering(), tls=tls) as server:
        answer = make_sender(server.url).send(BODY, events=1)

        assert answer.failure is Failure.TLS
        assert "certificate verify failed" in answer.detail
        assert server.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_own_ca_bundle_is_used(
    make_sender: MakeSender,
    tls: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """A company's own authority is accepted once requests is configured with it."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    with servers.Server(servers.answering(), tls=tls) as server:
        assert make_sender(server.url).send(BODY, events=1).status == 200


def test_https_goes_through_the_proxy(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, trusted: None
) -> None:
    """HTTPS_PROXY is used by CONNECT: it learns host and port, never the key; the connection is kept."""
    with (
        servers.Server(servers.answering(), tls=tls) as server,
        servers.Server(servers.tunnelling) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//someone:secret@"))
        sender = make_sender(server.url)
        statuses = [sender.send(BODY, events=1).status for _ in range(2)]

        (request,) = proxy.requests
        assert statuses == [200, 200]
        assert request.line.startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert request.headers["proxy-authorization"].startswith("Basic ")
        assert KEY not in str(request)


def test_http_goes_through_the_proxy(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY gets the whole URL."""
    with servers.Server(servers.answering()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        answer = make_sender("http://127.0.0.1:9").send(BODY, events=1)

        assert answer.status == 200
        assert proxy.requests[0].line.startswith("POST http://127.0.0.1:9/server-side/")


def test_no_proxy_is_obeyed(make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is connected to directly."""
    with (
        servers.Server(servers.answering()) as server,
        servers.Server(servers.answering()) as proxy,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
        answer = make_sender(server.url).send(BODY, events=1)

        assert answer.status == 200
        assert (len(server.requests), len(proxy.requests)) == (1, 0)


def refusing(connection: servers.Connection) -> None:
    """A proxy that refuses every request."""
    connection.read_head()
    connection.send(servers.answer_bytes(407))


def test_a_refusing_proxy_is_a_proxy_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused CONNECT is a proxy failure and not VWO's answer; the proxy's password is not shown."""
    with servers.Server(refusing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//someone:secret@"))
        answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.PROXY
    assert "407" in answer.detail
    assert "secret" not in answer.detail


@pytest.mark.parametrize(
    "proxy",
    [
        "http://a:secret@127.0.0.1:1",
        "http://a:secret@127.0.0.1:99999",
        "socks5h://a:secret@127.0.0.1:1",
        "http://",
    ],
)
def test_a_proxy_that_is_not_there_is_a_proxy_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """An unreachable proxy is a proxy failure, not one of the destination."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.PROXY
    assert "secret" not in answer.detail


def unreaching(connection: servers.Connection) -> None:
    """A proxy that does not reach the host."""
    connection.read_head()
    connection.send(servers.answer_bytes(503))


def test_a_proxy_that_does_not_reach_the_host_is_the_hosts_failure(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that works and answers CONNECT with 5xx tells of the host: all workers would get it."""
    with servers.Server(unreaching) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        answer = make_sender("https://127.0.0.1:9").send(BODY, events=1)

    assert answer.failure is Failure.CONNECTION
    assert "503" in answer.detail


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=["missing", "empty", "other"])
def test_a_ca_bundle_that_cannot_be_loaded_is_named(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """A CA bundle that is missing or no bundle is this worker's own trouble; nothing is sent."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with servers.Server(servers.answering()) as server:
        answer = make_sender(server.url.replace("http:", "https:")).send(BODY, events=1)

    assert answer.failure is Failure.CA_BUNDLE
    assert str(bundle) in answer.detail
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://someone:{password}@127.0.0.1:{port}",
        "http://someone:{password}@127.0.0.1:1",
        "http://someone:{password}@vwo-celery.invalid:1",
        "http://someone:{password}@127.0.0.1:99999",
        "socks5h://someone:{password}@127.0.0.1:1",
        "http://someone:a/{password}@127.0.0.1:1",
        "http://someone:{password}/a@127.0.0.1:1",
        "http://someone:{password}#a@127.0.0.1:1",
        "http://someone:{password}?a@127.0.0.1:1",
        "http://[someone:{password}@127.0.0.1:1",
        "http://someone:a@{password}@127.0.0.1:1",
        "http://someone:a#{password}@127.0.0.1:1",
        "http://someone:a?{password}@127.0.0.1:1",
        "http://someone:a {password}@127.0.0.1:1",
        "http://someone:a:{password}@127.0.0.1:1",
        "someone:{password}@127.0.0.1:1",
        "someone:a/{password}@127.0.0.1:1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_password_never_shows(
    make_sender: MakeSender,
    url: str,
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Wherever the proxy fails and however its URL is wrong, no text of ours has its password."""
    password = "hunter2hunter2"
    packed = base64.b64encode(f"someone:{password}".encode()).decode()

    def refuse(connection: servers.Connection) -> None:
        connection.read_head()
        connection.send(servers.answer_bytes(407, f'{{"error":"no {packed} {password}"}}'.encode()))

    caplog.set_level(logging.DEBUG)
    with servers.Server(refuse) as proxy:
        monkeypatch.setenv(
            f"{scheme.upper()}_PROXY", url.format(password=password, port=proxy.port)
        )
        sender = make_sender(f"{scheme}://127.0.0.1:9", seconds=5.0)
        answer = sender.send(BODY, events=1)

    shown = f"{answer!r} {sender!r} {judge(answer, now=0)!r} {caplog.text}"
    assert judge(answer, now=0).verdict is Verdict.RELEASE
    assert password not in shown
    assert packed not in shown
    assert KEY[:16] not in shown  # nor as a part of a URL
