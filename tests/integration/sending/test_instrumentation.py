"""Tracers and error trackers, with what they record by default, learn of a POST but not of its key."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tools.installation import ACCOUNT, KEY, event
from vwo_celery.testing import Standin

SENDER = f"""
import logging, sys
import vwo_celery
from vwo_celery.events import body, encode
from vwo_celery.sending.sender import Sender

def post():
    destination = vwo_celery.Destination(
        account_id={ACCOUNT}, sdk_key="{KEY}", generation="legacy", base_url=sys.argv[1])
    sender = Sender(destination, request_timeout_seconds=10, allowed_hosts=[destination.host])
    answer = sender.send(body([encode({event("a")!r})]), events=1)
    print("answered", answer.status)
"""
SINGLE = f"""
import logging, sys
import vwo_celery
from vwo_celery.producing.singles import envelope
from vwo_celery.sending.sender import Sender

def post():
    destination = vwo_celery.Destination(
        account_id={ACCOUNT}, sdk_key="{KEY}", generation="single", base_url=sys.argv[1])
    sender = Sender(destination, request_timeout_seconds=10, allowed_hosts=[destination.host])
    event = envelope(destination, "/events/t?en=x&a={ACCOUNT}&env={KEY}", {{}}, b'{{"d":{{}}}}')
    print("answered", sender.send_single([event]).status)
"""
SENTRY = """
import sentry_sdk

class Keeping(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        print(envelope.serialize().decode())

sentry_sdk.init(dsn="http://public@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Keeping)
with sentry_sdk.start_transaction(name="a task"):
    post()
    sentry_sdk.capture_message("with breadcrumbs")
sentry_sdk.flush()
"""
OPENTELEMETRY = """
from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
RequestsInstrumentor().instrument()
URLLib3Instrumentor().instrument()
post()
"""
#: Registers a queue, whose registration holds the key, with each way to set Sentry up; tells which
#: ways recorded it.
REDIS_SPANS = f"""
import os, sentry_sdk, vwo_celery
from sentry_sdk.integrations.redis import RedisIntegration

sent = []
class Keeping(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        sent.append(envelope.serialize())

def request(name, options):
    sentry_sdk.init(
        dsn="http://public@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Keeping, **options)
    with sentry_sdk.start_transaction(name="a request"):
        destination = vwo_celery.Destination(
            account_id={ACCOUNT}, sdk_key="{KEY}", generation="fme")
        queue = vwo_celery.connect(destination, namespace=name)
        where = queue.enqueue({event("a")!r}).where
    sentry_sdk.flush()
    print(name, where, b"{KEY}" in b"".join(sent), flush=True)

WAYS = {{
    "sentry-without": {{
        "send_default_pii": True, "disabled_integrations": [RedisIntegration()]}},
    "sentry-neither": {{}},
    "sentry-everything": {{"send_default_pii": True}},
}}
for name, options in WAYS.items():  # an integration stays in a process as it was set up first
    child = os.fork()
    if not child:
        request(name, options)
        os._exit(0)
    os.waitpid(child, 0)
"""
LOGGING = """
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
post()
"""


@pytest.mark.parametrize(
    ("program", "records"),
    [(SENTRY, '"http.query"'), (OPENTELEMETRY, '"http.url"'), (LOGGING, "DEBUG:urllib3")],
    ids=["sentry", "opentelemetry", "urllib3's log"],
)
def test_the_key_is_sent_and_not_recorded(program: str, records: str, standin: Standin) -> None:
    """Sentry's spans and breadcrumbs, OpenTelemetry's spans and urllib3's log show a stand-in."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SENDER) + program, standin.url],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    said = ran.stdout + ran.stderr
    assert "answered 200" in said
    assert records in said
    assert f"env=***{KEY[-4:]}" in said
    assert KEY[:-4] not in said
    assert [request.query["env"] for request in standin.requests] == [KEY]


@pytest.mark.parametrize(
    "program", [SENTRY, OPENTELEMETRY, LOGGING], ids=["sentry", "opentelemetry", "urllib3's log"]
)
def test_the_key_of_a_single_request_is_sent_and_not_recorded(
    program: str, standin: Standin
) -> None:
    """Its query is written beneath all that records URLs."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SINGLE) + program, standin.url],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    said = ran.stdout + ran.stderr
    assert "answered 200" in said
    assert "/events/t" in said
    assert KEY[:-4] not in said
    assert [request.query["env"] for request in standin.requests] == [KEY]


@pytest.mark.declared_keys("sentry*")
def test_sentrys_redis_integration_records_no_key_as_the_page_sets_it_up(redis_url: str) -> None:
    """docs/how-to/sentry.md: with neither option, and without the integration, arguments are not
    recorded; the last way shows that they would be."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REDIS_SPANS],
        env={**os.environ, "VWO_CELERY_REDIS_URL": redis_url},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert ran.stdout.splitlines() == [
        "sentry-without redis False", "sentry-neither redis False", "sentry-everything redis True",
    ]  # fmt: skip
