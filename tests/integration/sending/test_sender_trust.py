"""A sender sends to allowed hosts only, and shows its key to nobody but them."""

from __future__ import annotations

import json
import logging
import ssl
from urllib.parse import quote, quote_plus

import pytest

from tools import http_servers as servers
from tools.senders import BODY, DEADLINE_SECONDS, KEY, MakeSender
from vwo_celery.destinations import Destination
from vwo_celery.errors import DestinationError, HostRefused
from vwo_celery.sending.hosts import host_allowed
from vwo_celery.sending.outcomes import Verdict, judge
from vwo_celery.sending.sender import Sender


def test_an_echoed_key_is_masked(make_sender: MakeSender) -> None:
    """A key that a server repeats, plain or URL-encoded, is masked in our logs."""
    echo = {"message": f"bad {KEY} in ?env={quote(KEY)} and {quote_plus(KEY).lower()}"}
    with servers.Server(servers.answering(401, json.dumps(echo).encode())) as server:
        sender = make_sender(server.url)
        answer = sender.send(BODY, events=1)

    assert answer.detail.startswith("bad …")
    assert "456789" not in answer.detail
    assert "456789" not in repr(sender)


@pytest.mark.parametrize("answer", [servers.answer_bytes(), b"HTTP/1.1 200 OK\r\n oops\r\n\r\n"])
def test_urllib3_does_not_log_the_key(
    make_sender: MakeSender, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """urllib3 logs URLs at DEBUG, and at WARNING for unusual headers; the key in them is masked."""
    caplog.set_level(logging.DEBUG)
    with servers.Server(servers.saying(answer)) as server:
        sender = make_sender(server.url, seconds=DEADLINE_SECONDS)
        sender.send(BODY, events=1)

    assert "env=***" in caplog.text
    assert "456789" not in caplog.text


@pytest.mark.parametrize(
    ("key", "base_url"),
    [
        (f" {KEY}", ""),  # requests' error for this header would quote its value
        (f"\N{GREEK SMALL LETTER ALPHA}{KEY}", ""),
        (KEY, f"http://{'a' * 64}"),
    ],
)
def test_what_http_cannot_carry_reaches_no_sender(key: str, base_url: str) -> None:
    """A key or host that HTTP cannot carry is refused as a destination, without showing the key."""
    with pytest.raises(DestinationError) as refused:
        Destination(account_id=1, sdk_key=key, generation="fme", base_url=base_url)

    assert "456789" not in str(refused.value)


@pytest.mark.parametrize(
    ("base_url", "allowed_hosts", "allowed"),
    [
        ("", [], True),
        ("https://collect.wingify.net", [], True),
        ("https://DEV.visualwebsiteoptimizer.com:443", [], True),
        ("https://dev.visualwebsiteoptimizer.com:8443", [], False),
        ("http://dev.visualwebsiteoptimizer.com", [], False),
        ("http://dev.visualwebsiteoptimizer.com", ["dev.visualwebsiteoptimizer.com"], True),
        ("https://evil.dev.visualwebsiteoptimizer.com", [], False),
        ("https://dev.visualwebsiteoptimizer.com.evil.example", [], False),
        ("https://evil.example", ["other.example"], False),
        ("https://evil.example", ["vil.example"], False),
        ("https://ours.example", ["OURS.example "], True),
        ("https://ours.example:8443", ["ours.example"], True),
        ("https://ours.example:8443", ["ours.example:8443"], True),
        ("https://ours.example:8444", ["ours.example:8443"], False),
        ("https://ours.example", ["ours.example:443"], True),
        ("http://ours.example", ["ours.example:443"], False),
        ("http://[::1]:8080", ["[::1]:8080"], True),
        ("http://[::1]:8080", ["::1"], True),
        ("http://[::1]:8080", [], False),
    ],
)
def test_only_allowed_hosts_are_sent_to(
    base_url: str, allowed_hosts: list[str], allowed: bool
) -> None:
    """Events go to VWO's hosts by https and to those in this worker's settings, to no similar ones."""
    destination = Destination(account_id=1, sdk_key=KEY, generation="fme", base_url=base_url)

    assert host_allowed(destination, allowed_hosts) is allowed


@pytest.mark.parametrize(
    "base_url",
    [
        "https://dev.visualwebsiteoptimizer.com\\.evil.example",
        "https://:x@dev.visualwebsiteoptimizer.com@evil.example",
        "http://ours.example:99999",
    ],
)
def test_a_url_made_to_deceive_is_no_destination(base_url: str) -> None:
    """A URL of which two parsers read different hosts, or no port, is refused before a sender sees it."""
    with pytest.raises(DestinationError):
        Destination(account_id=1, sdk_key=KEY, generation="fme", base_url=base_url)


def test_a_refused_host_is_named_with_the_remedy() -> None:
    """The error names the refused host and the setting that would allow it."""
    destination = Destination(
        account_id=1, sdk_key=KEY, generation="fme", base_url="https://evil.example:1"
    )

    with pytest.raises(HostRefused, match=r"evil\.example:1.*allowed_hosts") as caught:
        Sender(destination, request_timeout_seconds=20)
    assert "456789" not in str(caught.value)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308, 399])
@pytest.mark.parametrize("to", ["http://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "/elsewhere"])
def test_no_redirect_is_followed(make_sender: MakeSender, status: int, to: str) -> None:
    """No redirect is followed: whatever its status and target, the other server sees no connection."""
    with servers.Server(servers.answering()) as elsewhere:
        where = to.format(port=elsewhere.port)
        script = servers.answering(status, Location=where, Refresh=f"0; url={where}")
        with servers.Server(script) as server:
            answer = make_sender(server.url).send(BODY, events=1)

            assert answer.status == status
            assert judge(answer, now=0).verdict is Verdict.REFUSED
            assert len(server.requests) == 1
        assert elsewhere.connections == []


def test_no_redirect_is_followed_from_https_to_http(
    make_sender: MakeSender, tls: ssl.SSLContext, trusted: None
) -> None:
    """No redirect from https to http is followed: the key is never sent in the clear."""
    with servers.Server(servers.answering()) as plain:
        redirect = servers.answering(308, Location=f"{plain.url}/x")
        with servers.Server(redirect, tls=tls) as server:
            assert make_sender(server.url).send(BODY, events=1).status == 308
        assert plain.connections == []


def test_nothing_that_a_server_sets_comes_back(make_sender: MakeSender) -> None:
    """No cookie is kept and no challenge is answered: each batch has only its destination's headers."""
    script = servers.answering(
        401, Set_Cookie="id=1; Path=/", WWW_Authenticate='Basic realm="x"', Connection="keep-alive"
    )
    with servers.Server(script) as server:
        sender = make_sender(server.url)
        for _ in range(2):
            sender.send(BODY, events=1)

        first, second = server.requests
        assert "cookie" not in second.headers
        assert first == second
