"""Settings that SDKs fetch through a relay: their targets, many requests at once, and older copies."""

from __future__ import annotations

import threading
from typing import Any

import redis as redis_py

from tools.relays import ACCOUNT, KEY, RelayServer
from vwo_celery.copies import Asked
from vwo_celery.queue.words.keys import copy_keys
from vwo_celery.testing import Standin

LEGACY = f"/server-side/settings?a={ACCOUNT}&i={KEY}&platform=server&sdk=vwo-node-sdk&sdk-v=1.73.0"
FME = f"/server-side/v2-settings?i={KEY}&a={ACCOUNT}&sn=vwo-fme-go-sdk&sv=1.60.0&api-version=3"
PULL = FME.replace("v2-settings", "v2-pull")


def make_older(redis: redis_py.Redis, vwo: Standin, by_ms: int) -> None:
    """Make the copies of the account older, by Redis' time."""
    asked = Asked(vwo.url, "", "", ACCOUNT, KEY, "")
    key = copy_keys("vwo", asked.name.owner, "")[0]
    index = redis.hget(key, "index")
    assert index is not None
    copies = [each.split() for each in index.decode().split(";")[:-1]]
    redis.hset(
        key,
        "index",
        "".join(f"{n} {int(at) - by_ms} {int(due) - by_ms};" for n, at, due in copies),
    )


def together(relays: list[RelayServer]) -> list[Any]:
    """Ask relays for the same settings at the same time."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda relay=relay: answers.append(relay.get(FME)))
        for relay in relays
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(relays)
    return answers
