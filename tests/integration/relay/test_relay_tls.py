"""The recipe for SDKs that can be pointed nowhere: nginx under VWO's own name, with a private CA.

The clients of these tests connect to nginx's port and ask for VWO's host by SNI, as an SDK does whose
DNS names nginx. VWO's SDKs themselves were run so by hand: see docs/how-to/sdks.md.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tools import http_servers
from tools.nginx import fronting
from tools.relays import (
    ACCOUNT,
    FME,
    KEY,
    LEGACY,
    LONGEST_WAIT_SECONDS,
    all_stored,
    read_answer,
    relaying,
    request,
)  # fmt: skip
from tools.waiting import wait_until
from vwo_celery.destinations import VWO_HOST, Destination
from vwo_celery.sending.outcomes import Failure, Verdict, judge
from vwo_celery.sending.sender import Sender
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)


class Front:
    """nginx with TLS: its port, and the authority whose certificate it shows."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        self.port = port
        self.authority = authority

    def connect(self, context: ssl.SSLContext, host: str = VWO_HOST) -> ssl.SSLSocket:
        """A connection to it as to VWO."""
        plain = socket.create_connection(("127.0.0.1", self.port), LONGEST_WAIT_SECONDS)
        return context.wrap_socket(plain, server_hostname=host)


@pytest.fixture
def front(redis_url: str, tmp_path: Path) -> Iterator[Front]:
    """nginx with compose/nginx/tls.conf in front of a relay."""
    authority, port = trustme.CA(), free_port()
    certificate = authority.issue_cert(VWO_HOST)
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "relay.crt"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "relay.key"))

    def with_tls(text: str) -> str:
        text = text.replace("    upstream relay {", "    include tls.conf;\n    upstream relay {")
        text = text.replace("/etc/nginx/tls/", f"{tmp_path}/")
        return text.replace("listen 8443", f"listen 127.0.0.1:{port}")

    with relaying(redis_url) as relay, fronting(relay.port, folder=tmp_path, change=with_tls):
        yield Front(port, authority)


def test_an_sdk_that_trusts_the_authority_is_served(front: Front, redis_url: str) -> None:
    """Its batches are stored, over connections that are kept."""
    context = ssl.create_default_context()
    front.authority.configure_trust(context)

    with front.connect(context) as sock:
        for target, body in ((LEGACY, b'{"ev":[{"u":"A"}]}'), (FME, b'{"ev":[{"d":{}}]}')):
            sock.sendall(request(target, body, {"Host": VWO_HOST}))
            assert read_answer(sock).status == 200

    assert sorted(all_stored(redis_url)) == [b'{"d":{}}', b'{"u":"A"}']


def test_an_sdk_that_does_not_trust_it_sends_nothing(front: Front) -> None:
    """An application that was not told of the authority refuses it before it shows its key."""
    with pytest.raises(ssl.SSLCertVerificationError):
        front.connect(ssl.create_default_context())


def test_clients_over_tls_that_close_at_once_are_stored(front: Front, redis_url: str) -> None:
    """PHP's legacy SDK closes its TLS connection without waiting."""
    context = ssl.create_default_context()
    front.authority.configure_trust(context)
    for number in range(20):
        with front.connect(context) as sock:
            sock.sendall(request(FME, b'{"ev":[{"d":{"n":%d}}]}' % number, {"Host": VWO_HOST}))

    wait_until(lambda: len(all_stored(redis_url)) == 20, what="all events")


def test_a_worker_that_meets_the_relay_in_vwos_name_keeps_its_batch(
    front: Front, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a worker's DNS has the entry too, events would go round without end: the queue is paused."""
    authority = tmp_path / "ca.pem"
    front.authority.cert_pem.write_to_path(str(authority))
    place = Destination(account_id=ACCOUNT, sdk_key=KEY, generation="fme")
    assert place.host == VWO_HOST
    with http_servers.Server(http_servers.leading_to(front.port)) as wrong_dns:
        monkeypatch.setenv("HTTPS_PROXY", wrong_dns.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        sender = Sender(place, request_timeout_seconds=LONGEST_WAIT_SECONDS)

        answer = sender.send(b'{"ev":[{"d":{"n":1}}]}', events=1)
        sender.close()

    assert answer.failure is Failure.CONFIGURATION
    assert "a relay answered in VWO's name" in answer.detail
    assert judge(answer, now=0.0).verdict is Verdict.REFUSED
    assert len(all_stored(redis_url)) == 1


def test_a_worker_may_send_to_a_relay_by_its_own_name(redis_url: str) -> None:
    """One relay may stand before another: as an upstream it is no mistake."""
    with relaying(redis_url) as relay:
        place = Destination(
            account_id=ACCOUNT, sdk_key=KEY, generation="fme",
            base_url=f"http://127.0.0.1:{relay.port}",
        )  # fmt: skip
        sender = Sender(
            place,
            request_timeout_seconds=LONGEST_WAIT_SECONDS,
            allowed_hosts=[f"127.0.0.1:{relay.port}"],
        )
        answer = sender.send(b'{"ev":[{"d":{"n":1}}]}', events=1)
        sender.close()

    assert answer.status == 200
