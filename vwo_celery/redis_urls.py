"""What redis-py says of a URL or of a command, without what it repeats of them.

Place: an edge, beneath the connections. An error of redis-py's may hold the value of a URL's option,
or the whole command that failed, with an event or an SDK key in it. No state.
"""

from __future__ import annotations

import re
from typing import Final

import redis
from redis.exceptions import RedisError

from vwo_celery.errors import SettingsError
from vwo_celery.urls import url_problem
from vwo_celery.wording import scheme_only

_REPEATED: Final = (
    re.compile(r"(?s)\ACommand # \d+ \(.*\) of pipeline caused error: "),  # by redis-py
    re.compile(r"(?s), with args beginning with: .*"),  # by Redis, of a command it does not know
)


def check_url(url: str) -> None:
    """Do nothing if redis-py can use *url*; nothing is connected.

    Args:
        url: As `connections` takes it.

    Raises:
        SettingsError: It cannot; says what is wrong, and nothing of what was given but the scheme.
    """
    problem = url_problem(url)
    if not problem and not _options_are_readable(url):
        problem = "but an option after its ? is unknown or has a wrong value"
    if problem:
        raise SettingsError(f"redis_url cannot be used: {scheme_only(url)} was given, {problem}")


def _options_are_readable(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if kind == "sentinel":
        return True  # of its options we take those we know
    before, comma, after = rest.partition(",")
    one = before + re.sub(r"^[^/?]*", "", after) if comma and kind else rest
    try:
        redis.ConnectionPool.from_url(f"{base}://{one}").make_connection()
    except (ValueError, TypeError, RedisError):
        return False
    return True


def without_command(exc: BaseException) -> str:
    """What an error of Redis' says, without the command; a traceback will not show it either."""
    if exc.args and isinstance(exc.args[0], str):
        text = exc.args[0]
        for pattern in _REPEATED:
            text = pattern.sub("", text)
        exc.args = (text, *exc.args[1:])
    return str(exc)
