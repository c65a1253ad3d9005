"""examples/relay as deployed: the relay beneath a path of an application, on uvicorn and hypercorn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tools.processes import Process
from tools.relays import ACCOUNT, EVENT, FME, KEY, RelayClient, all_stored, request, stored
from tools.waiting import wait_until
from vwo_celery.testing import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "relay"
APPLICATIONS = ("fastapi_app:app", "django_asgi:application")
CLIENTS = 20

pytestmark = pytest.mark.declared_keys("open", "watched", "info", "slots", "wakeups")


class Served(NamedTuple):
    """A running example."""

    program: Process
    port: int


@pytest.fixture(params=APPLICATIONS)
def application(request: pytest.FixtureRequest) -> str:
    """Each example's application."""
    return str(request.param)


@pytest.fixture(params=["uvicorn", "hypercorn"])
def served(
    request: pytest.FixtureRequest, application: str, redis_url: str, tmp_path: Path
) -> Iterator[Served]:
    """The example on a server; its log shows no key."""
    port = free_port()
    listen = {
        "uvicorn": ["--port", str(port), "--no-access-log"],
        "hypercorn": ["--bind", f"127.0.0.1:{port}"],
    }
    env = {
        "VWO_CELERY_REDIS_URL": redis_url,
        "VWO_CELERY_RELAY_ACCOUNTS": f"{ACCOUNT}={KEY}",
        "DJANGO_SETTINGS_MODULE": None,
    }
    program = Process(
        "python", "-m", request.param, application, *listen[request.param],
        folder=tmp_path, name=request.param, env=env, cwd=EXAMPLE, stop_timeout_seconds=30,
    )  # fmt: skip
    with program:
        program.wait_for_port(port)
        yield Served(program, port)
    assert KEY not in program.log()
    assert "Traceback" not in program.log()


def test_it_serves_beside_the_application(served: Served, redis_url: str) -> None:
    """Events beneath the path are stored, clients that close at once too; the rest is not the relay's."""
    client = RelayClient(served.port)

    assert client.post(f"/vwo{FME}", b'{"ev":[{"d":{"n":1}}]}').status == 200
    assert client.post(f"/vwo/eu01{FME}", b'{"ev":[{"d":{"n":1}}]}').status == 200
    assert client.post(f"/vwo{FME.replace(KEY, 'other')}", b'{"ev":[]}').status == 400
    assert client.post("/vwo/nothing", b"").status == 404
    assert client.get("/vwo/readyz").status == 200
    assert "process" in requests.get(f"http://127.0.0.1:{served.port}/", timeout=20).json()
    for number in range(CLIENTS):
        with client.connect() as sock:
            body = b'{"d":{"n":%d}}' % number
            sock.sendall(
                request(f"/vwo{EVENT}", body) + b"Connection: close\r\n\r\n" * (number % 2)
            )
    wait_until(lambda: len(all_stored(redis_url)) == CLIENTS + 2, what="all events")
    assert {destination.region for destination in stored(redis_url)} == {"", "eu01"}

    served.program.ask_to_end()
    assert served.program.wait() in (0, -15)
