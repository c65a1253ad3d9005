"""Lua scripts by name: loaded from the package, composed once, run by their digest.

Place: an edge, beneath the store. A line "--@include NAME" is replaced by lua/shared/NAME.lua, so
that what several scripts share is written once. The digest of the text is the version: releases with
other scripts run side by side. A server that forgot a script (restart, failover, SCRIPT FLUSH) is
given it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


class Script(NamedTuple):
    """A script's text and the digest that Redis knows it by."""

    text: str
    sha: str

    def command(self, keys: Sequence[str], arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The EVALSHA command, word by word."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        """Run it, giving it to the server first where the server does not have it.

        A script that the server does not know has not run, so repeating it is safe.
        """
        command = self.command(keys, arguments)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            client.script_load(self.text)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            # Forgotten in between, as by a SCRIPT FLUSH or a failover; its text cannot be.
            return client.execute_command("EVAL", self.text, *command[2:])


@cache
def script(name: str) -> Script:
    """The script lua/NAME.lua, whole."""
    text = _INCLUDE.sub(lambda found: _read(f"shared/{found[1]}.lua"), _read(f"{name}.lua"))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(path: str) -> str:
    return (resources.files("vwo_celery.queue") / "lua" / path).read_text(encoding="utf-8")
