"""Lua scripts by name: loaded from the package, composed once, run by their digest.

Beneath `shard`. A line "--@include NAME" is replaced by lua/shared/NAME.lua, so that code
which several scripts share is written once. The digest of the text is the version: releases with
different scripts run side by side. A server that forgot a script (restart, failover, SCRIPT FLUSH)
is given it again. If the process dies here, a script has run as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError, RedisError

from vwo_celery.connections.cluster import ClusterClient
from vwo_celery.connections.troubles import note_user

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_COMMAND = re.compile(r"redis\.p?call\('(\w+)'")


class Script(NamedTuple):
    """A script's text and its digest, by which Redis knows it."""

    text: str
    sha: str

    @property
    def commands(self) -> frozenset[str]:
        """The commands that the script may run, in capitals."""
        return frozenset(_COMMAND.findall(self.text))

    def command(self, keys: Sequence[str], arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The words of the EVALSHA command."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        """Run the script, loading it first into a server that does not have it.

        A script that the server does not know has not run, so a repeat is safe.
        """
        command = self.command(keys, arguments)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            load(client, self.text)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            # Forgotten in between, as by a SCRIPT FLUSH or a failover; EVAL sends the text itself.
            return client.execute_command("EVAL", self.text, *command[2:])


def load(client: Any, *texts: str) -> None:
    """Load scripts into the server, or into every master of a Cluster that answers.

    Raises:
        redis.exceptions.RedisError: No server took them.
    """
    if not isinstance(client, ClusterClient):
        _load(client, texts)
        return
    failures = []
    nodes = client.masters()
    for _, node in nodes:
        try:
            _load(node, texts)
        except RedisError as exc:
            note_user(exc, node.connection_pool.connection_kwargs)
            failures.append(exc)
    if nodes and len(failures) == len(nodes):
        raise failures[0]


def _load(client: Any, texts: Sequence[str]) -> None:
    if len(texts) == 1 or isinstance(client, redis.RedisCluster):
        for text in texts:
            client.script_load(text)
        return
    pipe = client.pipeline(transaction=False)  # in one round trip
    for text in texts:
        pipe.script_load(text)
    pipe.execute()


@cache
def script(name: str) -> Script:
    """The script lua/NAME.lua with all that it includes."""
    text = _INCLUDE.sub(lambda found: _read(f"shared/{found[1]}.lua"), _read(f"{name}.lua"))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def names() -> tuple[str, ...]:
    """Names of all scripts, sorted."""
    files = (resources.files("vwo_celery.queue") / "lua").iterdir()
    return tuple(sorted(name[:-4] for name in (file.name for file in files) if name[-4:] == ".lua"))


def _read(path: str) -> str:
    return (resources.files("vwo_celery.queue") / "lua" / path).read_text(encoding="utf-8")
