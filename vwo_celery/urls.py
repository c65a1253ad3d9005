"""What is wrong with a URL of Redis', how Celery spells it, and what in it is secret.

Place: words, no I/O. Libraries put what they cannot read into their errors: a port that is in truth
half a password. So a URL is checked where the settings are made, before any of them sees it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]*)(:[0-9]{1,5})?")
_MOST_PORT: Final = 65_535
#: What may follow the host: the number of a database, for Sentinel the service before it.
_PATHS: Final = {"": r"/?[0-9]*/?", "cluster": r"/?[0-9]*/?", "sentinel": r"(/[^/@]*(/[0-9]*)?)?"}
_ENCODE: Final = "in its user and password all but letters and digits must be percent-encoded"
#: Shorter pieces of a password are no secret, and in too many words.
_SHORTEST_SECRET: Final = 3


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


def secrets_of(url: str) -> list[str]:
    """What an error about *url* must not show: its password, whole and in the pieces it may break into.

    A URL of Celery's may be several, with ";" between them. The longest comes first, so that none is
    left over where one is a part of another.
    """
    whole = [secret for each in re.split(r";(?=[a-z0-9+]+://)", url) for secret in _passwords(each)]
    pieces = {piece for each in whole for piece in (each, *re.split(r"[/?#@:;\s]", each))}
    return sorted((each for each in pieces if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _passwords(url: str) -> list[str]:
    user_and_password = re.match(r"(?s)(?:[^/]*://)?(.*)@", url)
    password = user_and_password[1].partition(":")[2] if user_and_password else ""
    query = [value for name, value in parse_qsl(url.partition("?")[2]) if "password" in name]
    return [password, unquote(password), *query]
