"""Hosts that a worker may send to: VWO's own, and those of `allowed_hosts`.

Whoever can write to Redis can register a destination; without this check they could point workers at
any server. A pure decision, so that looking at queues needs no HTTP library.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from vwo_celery.destinations import COLLECTION_HOSTS, Destination

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def host_allowed(destination: Destination, allowed_hosts: Collection[str]) -> bool:
    """Whether a worker with these `allowed_hosts` may send to *destination*.

    VWO's own hosts always are, by https on its usual port. An entry is "host", for any scheme and
    port, or "host:port"; letters' case does not matter.
    """
    try:
        url = parse_url(destination.url)  # the very parser that decides where requests connects to
    except LocationParseError:
        return False
    scheme, host = str(url.scheme), str(url.host)
    port = _DEFAULT_PORTS.get(scheme) if url.port is None else url.port
    if destination.host not in (host, f"{host}:{port}"):
        return False  # two parsers that disagree on where a URL leads: it is meant to deceive
    if scheme == "https" and host in COLLECTION_HOSTS and port == _DEFAULT_PORTS["https"]:
        return True
    return not {host, host.strip("[]"), f"{host}:{port}"}.isdisjoint(
        entry.strip().lower() for entry in allowed_hosts
    )
