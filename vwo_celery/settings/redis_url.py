"""What is wrong with a URL of Redis', how Celery spells it, and what in it is secret.

Place: words, no I/O. Libraries put what they cannot read into their errors: a port that is in truth
half a password. So a URL is checked where the settings are made, before any of them sees it.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, quote, urlencode, urlsplit

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]*)(:[0-9]{1,5})?")
_MOST_PORT: Final = 65_535
#: What may follow the host: the number of a database, for Sentinel the service before it.
_PATHS: Final = {"": r"/?[0-9]*/?", "cluster": r"/?[0-9]*/?", "sentinel": r"(/[^/@]*(/[0-9]*)?)?"}
_ENCODE: Final = "in its user and password all but letters and digits must be percent-encoded"


def url_problem(url: str) -> str:
    """Why no Redis can be found by *url*, in words that show nothing of it; "" if nothing is wrong.

    Args:
        url: As `connections` takes it.
    """
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    try:
        parts = urlsplit(f"{base}://{rest}")
    except ValueError:
        return f"but its host cannot be read; {_ENCODE}"
    if base == "unix":
        return ""
    if not _hosts_are_readable(parts, several=kind != ""):
        return f"but its host and port cannot be read; {_ENCODE}"
    if parts.fragment or not re.fullmatch(_PATHS.get(kind, ""), parts.path):
        return f"but what follows its host is no number of a database; {_ENCODE}"
    return ""


def _hosts_are_readable(parts: SplitResult, *, several: bool) -> bool:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    found = [_HOST.fullmatch(host) for host in hosts]
    ports = [int(each[2][1:]) for each in found if each is not None and each[2]]
    return (
        None not in found and max(ports, default=0) <= _MOST_PORT and (several or len(hosts) == 1)
    )


def as_broker_url(url: str) -> str:
    """The URL of a single Redis in Celery's spelling.

    A password in the query moves before the host: Celery looks for it there, and there only masks it.
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    user, password = options.pop("username", ""), options.pop("password", "")
    if password and "@" not in place:
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    if scheme == "unix":
        scheme = "redis+socket"
        options = {"virtual_host" if name == "db" else name: of for name, of in options.items()}
    return f"{scheme}://{place}?{urlencode(options)}" if options else f"{scheme}://{place}"


_DEFAULT_PORT = 6379


def _address_of_url(url: str, kind: str) -> str:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    query, path = parse_qs(parts.query), parts.path.strip("/")
    db = query["db"][0] if "db" in query else ""
    if parts.scheme == "unix":
        return _address("", login.partition(":")[0], parts.path, "", db)
    if not kind:
        hosts = hosts if hosts.rpartition(":")[2].isdecimal() else f"{hosts}:{_DEFAULT_PORT}"
        path, db = "", db or path
    return _address(kind, login.partition(":")[0], hosts, path, db)


def _address(kind: str, user: Any, hosts: str, path: str, db: Any) -> str:
    return f"{kind} {user or ''} {hosts} {path} {db or 0}"
