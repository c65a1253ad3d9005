"""Options after the "?" of a Redis URL: one table, which producers, workers and the broker obey.

Pure; nothing to lose. Libraries read the options of a URL each in its own way: redis-py takes nearly
any name, Celery dies of one that it does not know. So a URL may hold only what stands here, and
each value is read here. What vwo_celery decides itself (timeouts, retries, encoding) is accepted and
set aside, since URLs are copied from programs that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

_TRUE: Final = ("true", "t", "yes", "y", "1", "on")
_FALSE: Final = ("false", "f", "no", "n", "0", "off")
#: Whether and how the server's certificate is checked, also as Celery spells it.
_CERT_REQS: Final = {
    **dict.fromkeys(("none", "CERT_NONE"), "none"),
    **dict.fromkeys(("optional", "CERT_OPTIONAL"), "optional"),
    **dict.fromkeys(("required", "CERT_REQUIRED"), "required"),
}


class Kind(NamedTuple):
    """A kind of value: its range in words, and its reader, which raises ValueError or KeyError."""

    range: str
    read: Callable[[str], Any]


class Option(NamedTuple):
    """An option of a Redis URL.

    Attributes:
        kind: Its values.
        meaning: One sentence for people.
        group: "client" for every connection to the data, "tls" where the scheme is rediss,
            "sentinel" for the Sentinels, "aside" for what is accepted and has no effect.
        broker: Whether it also holds for Celery's broker, where that is the same Redis.
    """

    kind: Kind
    meaning: str
    group: str = "client"
    broker: bool = False


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _whole(least: int) -> Kind:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {least}", read)


def _seconds(text: str) -> float:
    if not 0 <= float(text) < float("inf"):
        raise ValueError
    return float(text)


_TEXT: Final = Kind("a text", str)
_BOOLEAN: Final = Kind("true or false", _boolean)
_NUMBER: Final = Kind("a number of seconds", _seconds)
_FILE: Final = Kind("a path", str)
_OURS: Final = "vwo_celery bounds every wait itself, see `enqueue_timeout_seconds`."
_READS: Final = "vwo_celery reads bytes, and decodes them itself."
_REPEATS: Final = "vwo_celery repeats only what cannot be stored twice."

NO_DATABASE: Final = "but a Cluster has no database except 0"

#: Every option that a Redis URL may hold.
OPTIONS: Final[dict[str, Option]] = {
    "username": Option(_TEXT, "The user, unless it stands before the host.", broker=True),
    "password": Option(_TEXT, "The password, unless it stands before the host.", broker=True),
    "db": Option(_whole(0), "The database; it wins over the path.", broker=True),
    "client_name": Option(_TEXT, "The name of the connections in `CLIENT LIST`."),
    "max_connections": Option(_whole(1), "Most connections of one process; others wait."),
    "health_check_interval": Option(
        _whole(0), "Idle seconds after which a connection is tried before its next use; 0 for never."
    ),
    "ssl_cert_reqs": Option(
        Kind("`required`, `optional` or `none`; also `CERT_REQUIRED` and so on", _CERT_REQS.__getitem__),
        "Whether the server's certificate is checked; default `required`.",
        "tls", broker=True,
    ),
    "ssl_check_hostname": Option(
        _BOOLEAN,
        "Whether the certificate must be for the host's name; default true, unless `ssl_cert_reqs` "
        "is `none`.",
        "tls", broker=True,
    ),
    "ssl_ca_certs": Option(_FILE, "File with the authorities to trust.", "tls", broker=True),
    "ssl_ca_path": Option(_FILE, "Folder with the authorities to trust.", "tls", broker=True),
    "ssl_ca_data": Option(_TEXT, "The authorities themselves, in PEM.", "tls", broker=True),
    "ssl_certfile": Option(_FILE, "File with the client's certificate.", "tls", broker=True),
    "ssl_keyfile": Option(_FILE, "File with the key of `ssl_certfile`.", "tls", broker=True),
    "ssl_password": Option(_TEXT, "The password of that key.", "tls", broker=True),
    "sentinel_username": Option(_TEXT, "The Sentinels' user.", "sentinel"),
    "sentinel_password": Option(_TEXT, "The Sentinels' password.", "sentinel"),
    "socket_timeout": Option(_NUMBER, _OURS, "aside"),
    "socket_connect_timeout": Option(_NUMBER, _OURS, "aside"),
    "timeout": Option(_NUMBER, _OURS, "aside"),
    "socket_keepalive": Option(_BOOLEAN, "It is always on.", "aside"),
    "retry_on_timeout": Option(_BOOLEAN, _REPEATS, "aside"),
    "retry_on_error": Option(_TEXT, _REPEATS, "aside"),
    "decode_responses": Option(_BOOLEAN, _READS, "aside"),
    "encoding": Option(_TEXT, _READS, "aside"),
    "encoding_errors": Option(_TEXT, _READS, "aside"),
    "protocol": Option(Kind("2 or 3", {"2": 2, "3": 3}.__getitem__), "It is always 2.", "aside"),
    "lib_name": Option(_TEXT, "It is redis-py's.", "aside"),
    "lib_version": Option(_TEXT, "It is redis-py's.", "aside"),
}  # fmt: skip


def read_options(query: str) -> dict[str, Any]:
    """Read the options of a query that `problem_of` finds none in; those set aside are left out.

    An option without a value counts as not given, as in redis-py.
    """
    return {
        name: OPTIONS[name].kind.read(text)
        for name, text in parse_qsl(query)
        if name in OPTIONS and OPTIONS[name].group != "aside"
    }


def problem_of(query: str, *, tls: bool, kind: str) -> str:
    """Say why the options of a query cannot be used, quoting none of it; "" if they can.

    Args:
        query: What follows the "?".
        tls: Whether the scheme is one of rediss.
        kind: See `RedisUrl`.
    """
    pairs = parse_qsl(query)
    names = [name for name, _ in pairs]
    for name, text in pairs:
        if problem := _problem_of_one(name, text, names, tls=tls, kind=kind):
            return problem
    given = read_options(query)
    if given.get("ssl_check_hostname") and given.get("ssl_cert_reqs") == "none":
        return "but its options ssl_check_hostname and ssl_cert_reqs contradict each other"
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        return "but its option ssl_keyfile is the key of no certificate: ssl_certfile is missing"
    if kind == "cluster" and given.get("db"):
        return NO_DATABASE
    return ""


def _problem_of_one(name: str, text: str, names: list[str], *, tls: bool, kind: str) -> str:
    option = OPTIONS.get(name)
    if option is None:
        return (
            "but an option after its ? is unknown, or a character there needs percent-encoding; "
            f"the options are {', '.join(OPTIONS)}"
        )
    if names.count(name) > 1:
        return f"but its option {name} is given twice"
    if option.group == "tls" and not tls:
        return f"but its option {name} needs a scheme that begins with rediss"
    if option.group == "sentinel" and kind != "sentinel":
        return f"but its option {name} needs redis+sentinel or rediss+sentinel"
    try:
        option.kind.read(text)
    except (ValueError, KeyError):
        return f"but its option {name} must be {option.kind.range}"
    return ""
