"""A user of a Redis server with chosen rights, and what a program of ours lacks with them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import redis as redis_py

from vwo_celery.connections import open_worker_client
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.servers.permissions import Missing, missing, worker_needs
from vwo_celery.testing import RedisServer

USER, PASSWORD = "monkey", "p"
#: Rules of a user that may do everything.
ALL = ("~*", "&*", "+@all")


class Users:
    """A server on which each user has chosen rights."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.admin: Any = redis_py.Redis.from_url(server.url)
        self.admin.flushall()
        self.admin.execute_command("ACL", "LOG", "RESET")

    def make(self, *rules: str) -> str:
        """A user with these rights; its URL."""
        self.admin.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{USER}:{PASSWORD}@{parts.netloc}").geturl()

    def denied(self) -> list[Any]:
        """The commands that Redis denied to anyone, but for those that only tell the user's name."""
        entries = (
            {name: _text(value) for name, value in each.items()} for each in self.admin.acl_log()
        )
        return [
            each for each in entries if not each["object"].startswith(("acl", "client", "config"))
        ]

    def follow(self, remedy: str) -> None:
        """Do what a message asks for, word by word."""
        self.admin.execute_command(*remedy.split())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def what_lacks(url: str, needs: frozenset[str] = worker_needs()) -> Missing:
    """What a worker with this URL finds missing."""
    return missing(Fleet(open_worker_client(url), "vwo"), needs)
