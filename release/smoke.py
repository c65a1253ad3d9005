"""Program: uses an installed release as its users would, alone with one extra.

    python -I smoke.py EXTRA VERSION

Run by an environment that has nothing else, so that a dependency which no extra declares is missed.
VWO_CELERY_REDIS_URL names a Redis that may be written. An AssertionError or any other says what is
wrong. If it dies, nothing is lost.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import vwo_celery
from vwo_celery.testing import Standin, inline_delivery

KEY = "a" * 32
VISITOR = "B" * 32
#: An event as the FME SDK makes it, with all that VWO asks for.
EVENT = {
    "d": {
        "msgId": f"{VISITOR}-1795307469975",
        "visId": VISITOR,
        "sessionId": 1795307469,
        "event": {
            "name": "smoke",
            "time": 1795307469975,
            "props": {
                "vwo_sdkName": "vwo-fme-python-sdk", "vwo_sdkVersion": "1.65.0", "vwo_envKey": KEY,
                "isCustomEvent": True,
            },
        },
        "visitor": {"props": {"vwo_fs_environment": KEY}},
    }
}  # fmt: skip


def deliver(redis_url: str) -> None:
    """An event is stored in the real Redis, sent, and the ledger balances."""
    where = vwo_celery.Destination(account_id=17, sdk_key=KEY, generation="fme")
    queue = vwo_celery.connect(where, batch_event_data={"events_per_request": 2})
    receipt = queue.enqueue(EVENT)
    assert receipt.where == "redis", receipt
    with Standin() as standin, inline_delivery(redis_url, standin) as delivery:
        queue.enqueue(EVENT)
        told = delivery.deliver()
    assert len(told.delivered) == 1, told


def command(*words: str, code: int = 0) -> str:
    """What `vwo-celery` prints; it must end with that code, and without a traceback."""
    program = str(Path(sys.executable).with_name("vwo-celery"))
    ended = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    told = ended.stdout + ended.stderr
    assert ended.returncode == code, f"{words}: exit code {ended.returncode}\n{told}"
    assert "Traceback" not in told, told
    return told


def use_core() -> None:
    """The app of the workers can be imported, and commands answer."""
    import vwo_celery.celery.app

    assert vwo_celery.celery.app.app.tasks
    # No worker runs, which is a problem that the doctor names.
    assert "VC" in command("doctor", code=1)
    command("ledger")


def use_console() -> None:
    """The console answers a request through its door."""
    from vwo_celery.console import wsgi

    statuses: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    body = b"".join(wsgi(lambda _: "viewer")(environ, lambda status, _: statuses.append(status)))
    assert statuses[0].startswith("200"), (statuses, body[:300])


def use_tui() -> None:
    """`vwo-celery top` can be imported."""
    import vwo_celery.top.app

    assert vwo_celery.top.app


def use_metrics() -> None:
    """A scrape tells of Redis."""
    from prometheus_client import CollectorRegistry, generate_latest

    from vwo_celery.metrics import Collector

    registry = CollectorRegistry()
    registry.register(Collector())
    assert b"vwo_celery_redis_up 1" in generate_latest(registry).replace(b'{namespace="vwo"}', b"")


def use_otel() -> None:
    """A meter without an SDK takes our instruments."""
    from vwo_celery.otel import observe

    observe()


def use_relay() -> None:
    """The relay's server can be imported, with its loop and parser."""
    import httptools
    import uvloop

    import vwo_celery.relay.serving.running

    assert all((httptools, uvloop, vwo_celery.relay.serving.running))


def use_django() -> None:
    """A project with our app passes its checks."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(INSTALLED_APPS=["vwo_celery.django"])
    django.setup()
    call_command("check")


def use_fast() -> None:
    """redis-py found its parser in C."""
    from redis.utils import HIREDIS_AVAILABLE

    assert HIREDIS_AVAILABLE


USES: dict[str, Callable[[], None]] = {
    "core": use_core, "console": use_console, "tui": use_tui, "metrics": use_metrics,
    "otel": use_otel, "relay": use_relay, "django": use_django, "fast": use_fast,
}  # fmt: skip


def main(extra: str, wanted: str) -> None:
    """Try what every user needs, and what the extra is for; extras for tests have nothing of that."""
    found = version("vwo-celery")
    assert found == vwo_celery.__version__ == wanted, (found, vwo_celery.__version__, wanted)
    assert wanted in command("--version")
    deliver(vwo_celery.Settings.load().redis_url)
    for name in USES if extra == "all" else [extra]:
        USES.get(name, lambda: None)()
    print(f"Python {sys.version.split()[0]}: delivered, commands answer, {extra} works")


if __name__ == "__main__":
    main(*sys.argv[1:])
