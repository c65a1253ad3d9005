"""Hosts that a worker may send to: VWO's own, and those of `allowed_hosts`.

Checked before a POST. Whoever can write to Redis can register a destination; without this check they
could point workers at any server. A pure decision: nothing to lose with the process.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from vwo_celery.destinations import COLLECTION_HOSTS, Destination

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def host_refusal(destination: Destination, allowed_hosts: Collection[str]) -> str:
    """Why a worker with these `allowed_hosts` may not send to *destination*; "" if it may."""
    if host_allowed(destination, allowed_hosts):
        return ""
    return (
        f"this worker may not send to {destination.host or destination.origin!r}; if it is meant, "
        "add it to the workers' setting allowed_hosts (VWO_CELERY_ALLOWED_HOSTS)"
    )


def host_allowed(destination: Destination, allowed_hosts: Collection[str]) -> bool:
    """Whether a worker with these `allowed_hosts` may send to *destination*.

    VWO's own hosts are always allowed, by https on port 443. An entry is "host", for any scheme and
    port, or "host:port"; the case of letters does not matter.
    """
    try:
        url = parse_url(destination.url)  # the parser by which requests decides where to connect
    except LocationParseError:
        return False
    scheme, host = str(url.scheme), str(url.host)
    port = DEFAULT_PORTS.get(scheme) if url.port is None else url.port
    if destination.host not in (host, f"{host}:{port}"):
        return False  # two parsers read different hosts from it: a URL made to deceive
    if scheme == "https" and host in COLLECTION_HOSTS and port == DEFAULT_PORTS["https"]:
        return True
    return not {host, host.strip("[]"), f"{host}:{port}"}.isdisjoint(
        entry.strip().lower() for entry in allowed_hosts
    )
