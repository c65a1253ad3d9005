"""Groups of real Redis servers: Sentinel with a master and its replicas, and Redis Cluster.

All on loopback, and gone after the test.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import redis as redis_py
from redis.exceptions import RedisError, ResponseError

from tools.processes import Process
from tools.waiting import wait_until
from vwo_celery.testing import RedisServer, RedisServerFailed
from vwo_celery.testing.redis_binary import find_redis_server
from vwo_celery.testing.waiting import free_port

SERVICE = "mymaster"
_HOST = "127.0.0.1"
SLOTS = 16_384
_READY_SECONDS = 20.0
_FAILOVER_SECONDS = 30.0
#: Longer than any test, ms.
_NEVER_MS = 3_600_000
_MIGRATED_AT_ONCE = 100
#: Ports of nodes whose bus (port + 10,000) is neither one that `free_port` gives nor ephemeral, so that
#: no other server of a test can have taken it.
_CLUSTER_PORTS = range(22_000, 22_768)
_STARTS = 5
#: No wait for further replicas: it makes the first synchronisation slow.
_REPLICATED = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


def cluster_port() -> int:
    """A free port for a node."""
    return wait_until(lambda: (port := free_port()) in _CLUSTER_PORTS and port)


def client_of(server: RedisServer) -> Any:
    """A client of one server, whatever group it is in."""
    return redis_py.Redis.from_url(server.url, decode_responses=True, protocol=2)


def replica_of(master: RedisServer, *arguments: str) -> RedisServer:
    """A replica, not started yet."""
    return RedisServer(arguments=("--replicaof", _HOST, str(master.port), *_REPLICATED, *arguments))


def await_replicas(master: RedisServer, number: int) -> None:
    """Return once *number* replicas have confirmed all that the master holds."""
    with client_of(master) as client:
        client.set("awaited", 1)  # WAIT is about the client's own writes
        client.delete("awaited")
        wait_until(lambda: client.wait(number, 100) == number, _READY_SECONDS, what="the replicas")


def serve_all_slots(node: RedisServer) -> None:
    """Make a node started with --cluster-enabled a whole Redis Cluster by itself."""
    with client_of(node) as client:
        client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
        await_cluster_state(client, "ok")


def await_cluster_state(client: Any, state: str) -> None:
    """Return once a node reports the cluster state "ok" or "fail"."""
    wait_until(
        lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == state,
        _READY_SECONDS,
        what=f"the cluster's state to be {state}",
    )


class Replicated:
    """A master and its replicas, synchronised, while in use as a context.

    Args:
        replicas: Their number.
        arguments: Further arguments of each server.
    """

    def __init__(self, replicas: int, *arguments: str) -> None:
        self._number = replicas
        self._arguments = arguments
        self._stack = ExitStack()
        self.master = RedisServer(arguments=(*_REPLICATED, *arguments))
        self.replicas: list[RedisServer] = []

    def __enter__(self) -> Replicated:
        with ExitStack() as stack:
            stack.enter_context(self.master)
            for _ in range(self._number):
                replica = replica_of(self.master, *self._arguments)
                self.replicas.append(stack.enter_context(replica))
            await_replicas(self.master, self._number)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class SentinelGroup(Replicated):
    """A master, its replicas, and Sentinels that promote a replica when the master dies.

    Args:
        folder: Where the Sentinels' files go.
        arguments: Further arguments of each server.
        sentinels: Their number.
    """

    def __init__(self, folder: Path, *arguments: str, sentinels: int = 3) -> None:
        super().__init__(2, *arguments)
        self._folder = folder
        self._ports = [free_port() for _ in range(sentinels)]
        self.sentinels: list[Process] = []

    def __enter__(self) -> SentinelGroup:
        super().__enter__()
        with self._stack as stack:
            for port in self._ports:
                self.sentinels.append(stack.enter_context(self._sentinel(port)))
            wait_until(
                lambda: all(map(self._knows_all, self._ports)), _READY_SECONDS, what="Sentinels"
            )
            self._stack = stack.pop_all()
        return self

    @property
    def url(self) -> str:
        """URL of the service."""
        return f"redis+sentinel://{','.join(f'{_HOST}:{port}' for port in self._ports)}/{SERVICE}"

    def masters(self) -> set[int]:
        """Ports that the Sentinels name as the master; several while they disagree."""
        return {self._master_of(port) for port in self._ports}

    def _master_of(self, sentinel: int) -> int:
        # Asked as clients ask it; GET-MASTER-ADDR-BY-NAME would name the new master earlier.
        with redis_py.Redis(_HOST, sentinel, decode_responses=True, protocol=2) as client:
            return int(client.execute_command("SENTINEL MASTER", SERVICE)["port"])

    def lose_master(self) -> RedisServer:
        """Kill the master if it runs; return the new one once all Sentinels name it and it takes writes.

        Sentinel is asked for the failover: left to itself, it takes a busy machine for a dead server.
        """
        self.master.kill()
        wait_until(self._begins_failover, _READY_SECONDS, what="a replica that Sentinel finds fit")
        ports = [each.port for each in self.replicas]
        wait_until(
            lambda: len(self.masters()) == 1 and self.masters() <= set(ports),
            _FAILOVER_SECONDS,
            what="the failover",
        )
        (port,) = self.masters()
        found = self.replicas[ports.index(port)]
        with client_of(found) as client:
            wait_until(lambda: client.info("replication")["role"] == "master", _READY_SECONDS)
        return found

    def switch_over(self) -> RedisServer:
        """Let Sentinel promote a replica while the master runs; return the new one once all name it.

        The old one still takes writes: Sentinel makes it a replica only ten seconds later.
        """
        wait_until(self._begins_failover, _READY_SECONDS, what="a replica that Sentinel finds fit")
        ports = [each.port for each in self.replicas]
        wait_until(
            lambda: len(self.masters()) == 1 and self.masters() <= set(ports),
            _FAILOVER_SECONDS,
            what="the failover",
        )
        (port,) = self.masters()
        return self.replicas[ports.index(port)]

    def elect_nobody(self, down_after_ms: int = 500) -> None:
        """Let Sentinel notice a dead master soon, and find no replica fit to take its place."""
        for replica in self.replicas:
            with client_of(replica) as client:
                client.config_set("replica-priority", 0)
        wait_until(
            lambda: all(map(self._finds_none_fit, self._ports)), _READY_SECONDS, what="its look"
        )
        for port in self._ports:
            with redis_py.Redis(_HOST, port, decode_responses=True) as client:
                words = ("SENTINEL SET", SERVICE, "down-after-milliseconds", down_after_ms)
                client.execute_command(*words)

    def elect_somebody(self) -> None:
        """Let the replicas be fit again."""
        for replica in self.replicas:
            with client_of(replica) as client:
                client.config_set("replica-priority", 100)

    def _finds_none_fit(self, sentinel: int) -> bool:
        with redis_py.Redis(_HOST, sentinel, decode_responses=True, protocol=2) as client:
            known = client.execute_command("SENTINEL", "REPLICAS", SERVICE)
        replicas = [dict(zip(each[::2], each[1::2], strict=True)) for each in known]
        return all(replica["slave-priority"] == "0" for replica in replicas)

    def _begins_failover(self) -> bool:
        with (
            suppress(ResponseError),
            redis_py.Redis(_HOST, self._ports[0], decode_responses=True) as client,
        ):
            return bool(client.execute_command("SENTINEL FAILOVER", SERVICE))
        return False

    def _sentinel(self, port: int) -> Process:
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir()
        (folder / "sentinel.conf").write_text(
            f"port {port}\nbind {_HOST}\ndir {folder}\n"
            f"sentinel monitor {SERVICE} {_HOST} {self.master.port} {len(self._ports) // 2 + 1}\n"
            f"sentinel down-after-milliseconds {SERVICE} {_NEVER_MS}\n"
            f"sentinel failover-timeout {SERVICE} {round(1000 * _FAILOVER_SECONDS)}\n"
        )
        return Process(
            find_redis_server(), str(folder / "sentinel.conf"), "--sentinel",
            folder=folder, name="sentinel",
        )  # fmt: skip

    def _knows_all(self, port: int) -> bool:
        with (
            suppress(RedisError),
            redis_py.Redis(_HOST, port, decode_responses=True, protocol=2) as client,
        ):
            state = client.execute_command("SENTINEL MASTER", SERVICE)
            return bool(
                int(state["num-other-sentinels"]) == len(self._ports) - 1
                and int(state["num-slaves"]) == len(self.replicas)
            )
        return False


class ClusterGroup:
    """A Redis Cluster that serves every slot, while in use as a context.

    Args:
        masters: Number of nodes with slots, which are spread evenly.
        replicas: Number of replicas of the first node.
        arguments: Further arguments of each server.
    """

    def __init__(self, masters: int = 3, replicas: int = 0, *arguments: str) -> None:
        self._options = (
            "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
            "--cluster-replica-validity-factor", "0", *_REPLICATED, *arguments,
        )  # fmt: skip
        self.nodes: list[RedisServer] = []
        self._masters, self._replicas = masters, replicas
        self._stack = ExitStack()

    def __enter__(self) -> ClusterGroup:
        with ExitStack() as stack:
            for _ in range(self._masters + self._replicas):
                self.nodes.append(self._start_node(stack))
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def grow(self) -> RedisServer:
        """Let another node join, which owns no slot yet; no client has heard of it."""
        node = self._start_node(self._stack)
        with client_of(node) as client:
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", len(self.nodes) + 1)
            client.execute_command("CLUSTER MEET", _HOST, self.nodes[0].port)
        self.nodes.append(node)
        self.wait_until_ok()
        return node

    def _start_node(self, stack: ExitStack) -> RedisServer:
        """Start a node, on another port if somebody has taken the first."""
        for _ in range(_STARTS):
            try:
                return stack.enter_context(self._node())
            except RedisServerFailed as exc:
                if "Address already in use" not in str(exc):
                    raise
        return stack.enter_context(self._node())

    def _node(self) -> RedisServer:
        return RedisServer(arguments=self._options, port=cluster_port())

    @property
    def url(self) -> str:
        """URL that names every node."""
        return f"redis+cluster://{','.join(f'{_HOST}:{node.port}' for node in self.nodes)}"

    @property
    def masters(self) -> list[RedisServer]:
        """The nodes that had slots at the start."""
        return self.nodes[: self._masters]

    def slot_of(self, key: str) -> int:
        """The slot that a key belongs to."""
        with client_of(self.nodes[-1]) as client:
            return int(client.execute_command("CLUSTER KEYSLOT", key))

    def owner_of(self, slot: int) -> RedisServer:
        """The master that serves a slot."""
        with client_of(self.nodes[-1]) as client:
            ranges = client.execute_command("CLUSTER SLOTS")
        port = next(each[2][1] for each in ranges if each[0] <= slot <= each[1])
        return next(node for node in self.nodes if node.port == port)

    def begin_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Begin to move a slot from *source*, which redirects to *target* for keys it lacks."""
        with client_of(source) as old, client_of(target) as new:
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _id_of(old))
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _id_of(new))

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> int:
        """Move the slot's keys, a hundred at a time; return their number."""
        moved = 0
        with client_of(source) as old:
            while keys := old.execute_command("CLUSTER GETKEYSINSLOT", slot, _MIGRATED_AT_ONCE):
                old.execute_command("MIGRATE", _HOST, target.port, "", 0, 10_000, "KEYS", *keys)
                moved += len(keys)
        return moved

    def end_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Tell every node that *target* owns the slot."""
        with client_of(target) as client:
            name = _id_of(client)
        told = ("CLUSTER SETSLOT", slot, "NODE", name)
        for node in (target, source):
            with client_of(node) as client:
                client.execute_command(*told)
        for node in self.nodes:  # replicas hear it from their master
            if node not in (target, source):
                with suppress(RedisError), client_of(node) as client:
                    client.execute_command(*told)
        wait_until(lambda: len(self._epochs_of(name)) == 1, what="every node knows of the move")

    def _epochs_of(self, name: str) -> set[str]:
        """A node's epoch, as each node that answers knows it.

        While one knows an older epoch, it may take a slot that moves back without a newer one of its
        own. A late message of the former owner then wins, and both redirect to each other for good.
        """
        found = set()
        for node in self.nodes:
            with suppress(RedisError), client_of(node) as client:
                known = client.execute_command("CLUSTER NODES").values()
                found.update(each["epoch"] for each in known if each["node_id"] == name)
        return found

    def _join(self) -> None:
        share = -(-SLOTS // self._masters)
        for number, node in enumerate(self.nodes):
            with client_of(node) as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER MEET", _HOST, self.nodes[0].port)
                if number < self._masters:
                    slots = range(number * share, min(SLOTS, (number + 1) * share))
                    client.execute_command("CLUSTER ADDSLOTS", *slots)
        self.wait_until_ok()
        with client_of(self.nodes[0]) as first:
            name = _id_of(first)
        replicas = self.nodes[self._masters :]
        for node in replicas:
            with client_of(node) as client:
                client.execute_command("CLUSTER REPLICATE", name)
        await_replicas(self.nodes[0], len(replicas))
        self.wait_until_ok()

    def wait_until_ok(self) -> None:
        """Return once every node knows every other, and says that all slots are served."""
        wait_until(lambda: all(map(self._is_ok, self.nodes)), _READY_SECONDS, what="the cluster")

    def _is_ok(self, node: RedisServer) -> bool:
        with client_of(node) as client:
            info = client.execute_command("CLUSTER INFO")
            known = client.execute_command("CLUSTER NODES")
            # A node that does without some slots says "ok" before it has heard of all.
            served = info["cluster_state"] == "ok" and int(info["cluster_slots_assigned"]) == SLOTS
            return bool(served and len(known) == len(self.nodes))


def _id_of(client: Any) -> str:
    return str(client.execute_command("CLUSTER MYID"))
