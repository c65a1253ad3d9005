"""Each kind of trouble with Redis: its words and its remedy.

Beneath `troubles`, which tells them apart; the doctor, every command's error line and every log take
their words from here. Pure; nothing to lose.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: The setting that names our Redis, as remedies spell it.
REDIS_URL: Final = "redis_url (VWO_CELERY_REDIS_URL)"


class Trouble(NamedTuple):
    """One kind of trouble.

    Attributes:
        word: Its name.
        says: What is true, to stand before the error's own text.
        remedy: What to do; "URL" in it stands for the setting with the address.
    """

    word: str
    says: str
    remedy: str

    def remedy_for(self, setting: str = REDIS_URL) -> str:
        """What to do about the server that *setting* names."""
        return self.remedy.replace("URL", setting)


_ALL: Final = (
    Trouble(
        "refused", "nothing listens at the address of Redis",
        "start it, or correct host and port in URL",
    ),
    Trouble("name", "the name of Redis' host is not found", "correct the host in URL, or mend DNS"),
    Trouble(
        "timeout", "Redis does not answer in time",
        "see whether that machine is overloaded, swaps or stands still, whether a slow command holds "
        "it up (redis-cli SLOWLOG GET), whether a firewall drops packets, and, with rediss:// in URL, "
        "whether that port speaks TLS",
    ),
    Trouble(
        "tls", "TLS to Redis fails",
        "see that the server speaks TLS on that port (rediss:// in URL), that its certificate is for "
        "that host and not over, that ssl_ca_certs names who signed it, and, where the server asks for "
        "a client's certificate, that ssl_certfile names one that it trusts",
    ),
    Trouble(
        "file", "a file that TLS to Redis needs cannot be used",
        "give this process that file, readable and in PEM, or correct its option in URL",
    ),
    Trouble(
        "forbidden", "this host does not let the process connect to Redis",
        "of a socket: let its user write to it (unixsocketperm) and enter its folder; of a port: see "
        "this host's firewall",
    ),
    Trouble(
        "unreachable", "no way leads to the host of Redis",
        "correct the host in URL, or mend the network between: a route, a firewall",
    ),
    Trouble(
        "protected", "Redis is in protected mode: it answers only programs of its own host",
        "set a password there (requirepass) and name it in URL",
    ),
    Trouble(
        "password", "Redis does not accept the user or the password",
        "correct user and password in URL, or leave them out where Redis has none; Redis itself works",
    ),
    Trouble(
        "denied", "the Redis user may not do what was tried",
        "give the user these rights; vwo-celery doctor prints the line (permissions)",
    ),
    Trouble("memory", "Redis is out of memory", "give it more (CONFIG SET maxmemory), or drain queues"),
    Trouble(
        "replica", "that Redis is a replica, which takes no writes",
        "name the primary in URL, or use redis+sentinel://",
    ),
    Trouble(
        "loading", "Redis is loading its data after a start",
        "wait, events are kept; it ends by itself (redis-cli INFO persistence says when)",
    ),
    Trouble(
        "type", "a key of ours has a wrong type",
        "somebody wrote it: vwo-celery doctor names it; look at it, then remove it",
    ),
    Trouble(
        "clients", "Redis lets no further client in",
        "raise its maxclients (CONFIG SET maxclients), or see who holds so many connections "
        "(redis-cli CLIENT LIST)",
    ),
    Trouble(
        "cluster", "the Redis Cluster is down",
        "start the missing nodes: redis-cli CLUSTER NODES names them",
    ),
    Trouble(
        "moving", "keys move to another node of the Redis Cluster",
        "wait; it ends with the move: redis-cli CLUSTER NODES names the slots that move",
    ),
    Trouble(
        "of_cluster", "that server is a node of a Redis Cluster",
        "write redis+cluster:// (with TLS rediss+cluster://) in URL, without a database number",
    ),
    Trouble(
        "no_cluster", "that server is no node of a Redis Cluster",
        "write redis:// (with TLS rediss://) in URL for a single Redis, or "
        "redis+sentinel://HOST:PORT/SERVICE if it is a Sentinel",
    ),
    Trouble(
        "sentinel", "that server is a Sentinel, which holds no data",
        "write redis+sentinel://HOST:PORT/SERVICE (with TLS rediss+sentinel://) in URL",
    ),
    Trouble(
        "no_sentinel", "that server is no Sentinel",
        "write redis:// (with TLS rediss://) in URL for a single Redis, redis+cluster:// for a Cluster, "
        "or correct the Sentinels' ports, by default 26379",
    ),
    Trouble(
        "service", "the Sentinels do not know that service",
        "correct the service in URL, redis+sentinel://HOST:PORT/SERVICE; redis-cli -p PORT SENTINEL "
        "MASTERS names those that they know",
    ),
    Trouble(
        "unknown", "that server does not know a command that Redis 6.2 knows",
        "see what it is (redis-cli INFO server). For a Sentinel, write "
        "redis+sentinel://HOST:PORT/SERVICE in URL; upgrade an older Redis; give back what "
        "rename-command took away",
    ),
    Trouble(
        "database", "Redis has no database of that number",
        "write a smaller number in URL; there is always 0, and redis-cli CONFIG GET databases says how "
        "many there are",
    ),
    Trouble(
        "disk", "Redis cannot write to its disk, and takes no events",
        "see the disk's space and the server's log; it takes events again after the next save",
    ),
    Trouble(
        "replicas", "Redis has too few replicas to take writes",
        "start its replicas, or lower min-replicas-to-write",
    ),
    Trouble(
        "busy", "Redis is busy with a script",
        "wait; if it does not end, find whose it is, then: redis-cli SCRIPT KILL",
    ),
    Trouble(
        "master", "the Sentinels know no master",
        "wait some seconds, Redis need not be started: a replica takes over. If none does, ask a "
        "Sentinel: SENTINEL CKQUORUM and SENTINEL REPLICAS with the service's name, and see its log",
    ),
    Trouble(
        "sentinels", "no Sentinel answers",
        "start them, or correct their hosts and ports in URL, which begins with rediss+sentinel:// "
        "where they speak TLS",
    ),
    Trouble(
        "sentinel_password", "the Sentinels do not accept the user or the password",
        "correct the options sentinel_username and sentinel_password in URL, or leave them out where "
        "the Sentinels have none",
    ),
    Trouble(
        "pool", "all connections of this process to Redis are in use",
        "see why its calls take long (redis-cli SLOWLOG GET), or raise max_connections in URL",
    ),
    Trouble(
        "lost", "the connection to Redis failed",
        "see whether Redis was restarted, or something between closes connections, whether URL names "
        "a port of Redis, without TLS (redis://) or with it (rediss://), and whether Redis is in "
        "protected mode, in which it takes only clients of its own host until it has a password "
        "(requirepass)",
    ),
    Trouble("url", "the URL leads to no Redis", "correct URL"),
    Trouble("other", "Redis answered", "see the server's log"),
)  # fmt: skip
TROUBLES: Final = {each.word: each for each in _ALL}
