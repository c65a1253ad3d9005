"""docs/how-to/rabbitmq.md: its commands and its module, with a real RabbitMQ behind TLS.

Left out where the machine has no RabbitMQ server; the head of pytest's report says so.
"""

from __future__ import annotations

import os
import re
import shlex
import ssl
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import amqp
import kombu
import pytest
import trustme
from celery import Celery

from tools.blocks import blocks_of, write_files
from tools.installation import Installation, event
from tools.processes import Process
from tools.rabbit import RabbitMQ
from tools.waiting import wait_until
from vwo_celery.celery.broker.tls import gap_in_tls
from vwo_celery.receipts import IN_REDIS
from vwo_celery.testing import Standin, free_port

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rabbitmq.md"
COMMANDS = [
    shlex.split(line)[1:]
    for block in blocks_of(PAGE) if block.language == "sh"
    for line in block.text.splitlines() if line.startswith("rabbitmqctl ")
]  # fmt: skip
_SECONDS = 60.0

pytestmark = pytest.mark.declared_keys("watched", "slots", "wakeups")


class Broker(RabbitMQ):
    """RabbitMQ with TLS as well.

    Attributes:
        tls_port: Where it speaks TLS.
        authority_file: The authority of its certificate, which is for localhost.
    """

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.tls_port = free_port()
        certificate = authority.issue_cert("localhost")
        (folder / "tls").mkdir()
        self.authority_file = str(folder / "tls" / "ca.pem")
        authority.cert_pem.write_to_path(self.authority_file)
        certificate.cert_chain_pems[0].write_to_path(str(folder / "tls" / "server.pem"))
        certificate.private_key_pem.write_to_path(str(folder / "tls" / "server.key"))
        super().__init__(
            folder,
            f"listeners.ssl.default = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {folder}/tls/ca.pem\n"
            f"ssl_options.certfile = {folder}/tls/server.pem\n"
            f"ssl_options.keyfile = {folder}/tls/server.key\n",
        )


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """RabbitMQ as it is after the page's first step."""
    with Broker(tmp_path_factory.mktemp("broker"), trustme.CA()) as running:
        for words in COMMANDS:
            if words[0] != "delete_queue":
                running.control(*words)
        yield running


@pytest.fixture
def fleet(
    broker: Broker, redis_url: str, standin: Standin, tmp_path: Path
) -> Iterator[Installation]:
    """An installation whose workers run the page's module."""
    write_files(PAGE, tmp_path)
    module = tmp_path / "fleet.py"
    text = module.read_text()
    text = text.replace("/etc/ssl/our-ca.pem", broker.authority_file)
    module.write_text(text.replace("rabbit.example", "localhost"))
    made = Installation(redis_url, standin, tmp_path)
    made.app, made.folder = "fleet", tmp_path
    made.env |= {
        "PYTHONPATH": os.pathsep.join(
            [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "VWO_CELERY_BROKER_URL": f"amqps://vwo:PASSWORD@localhost:{broker.tls_port}/vwo",
    }
    try:
        yield made
    finally:
        made.stop()


def declare_classic(broker: Broker) -> None:
    """Declare the queue of the ready app as Celery does without the page's module."""
    with kombu.Connection(f"amqp://vwo:PASSWORD@127.0.0.1:{broker.port}/vwo") as connection:
        kombu.Queue("vwo_celery", channel=connection.default_channel).queue_declare()


def test_the_steps_of_the_page_deliver(fleet: Installation, broker: Broker, tmp_path: Path) -> None:
    """The user and the module of the page: over TLS, by a quorum queue, and the doctor says ok."""
    declare_classic(broker)
    refused = fleet.start("worker", "--without-mingle", name="refused")
    assert refused.wait(_SECONDS)
    assert "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'" in refused.log()
    (delete,) = [words for words in COMMANDS if words[0] == "delete_queue"]
    broker.control(*delete)

    queue = fleet.connect(events_per_request=2, request_time_interval=1)
    fleet.worker()
    assert all(queue.enqueue(event(name)) == IN_REDIS for name in "abc")
    wait_until(lambda: sorted(fleet.delivered()) == ["a", "b", "c"], _SECONDS)

    told = doctor(fleet, tmp_path, "--app", "fleet")
    assert re.search(r"ok +broker +amqps://\S+ answers", told), told
    assert "1 worker consumes Celery queue 'vwo_celery'" in told
    assert "VC505" not in told
    with pytest.raises(amqp.PreconditionFailed, match="current is the value 'quorum'"):
        declare_classic(broker)


def doctor(fleet: Installation, folder: Path, *options: str) -> str:
    """What `vwo-celery doctor` prints in the folder of the module."""
    process = Process(
        "python", "-m", "vwo_celery", "doctor", *options, folder=folder, name="doctor",
        env={**fleet.env, "COLUMNS": "400"}, cwd=folder,
    )  # fmt: skip
    process.start()
    process.wait(_SECONDS)
    return process.log()


@pytest.mark.parametrize(
    ("options", "refusal", "gap"),
    [
        ({}, "self-signed certificate in certificate chain|unable to get local issuer", "any name"),
        ({"ca_certs": True}, "", "any name"),
        ({"ca_certs": True, "server_hostname": "other.example"}, "Hostname mismatch", ""),
        ({"ca_certs": True, "server_hostname": "localhost"}, "", ""),
        ({"cert_reqs": ssl.CERT_NONE}, "", "without a check of its certificate"),
    ],
)
def test_what_is_checked_of_the_certificate(
    broker: Broker, options: dict[str, Any], refusal: str, gap: str
) -> None:
    """As the page says; and the doctor names what the options leave out."""
    if "ca_certs" in options:
        options = {**options, "ca_certs": broker.authority_file}
    app = Celery(
        broker=f"amqps://vwo:PASSWORD@127.0.0.1:{broker.tls_port}/vwo", set_as_current=False
    )
    app.conf.broker_use_ssl = options or True

    with (
        app.connection_for_write() as connection,
        pytest.raises(ssl.SSLError, match=refusal) if refusal else nullcontext(),
    ):
        connection.connect()

    found = gap_in_tls(app)
    assert gap in found.what
    assert bool(found.what) == bool(gap)
    assert ("server_hostname" in found.remedy) == bool(gap)
