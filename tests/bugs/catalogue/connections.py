"""Bugs in `connections/`."""

from __future__ import annotations

from bugs.bug import Bug

_SENTINEL = "integration/connections/test_sentinel.py"
_SHARED = "integration/connections/test_shared_clients.py"
_EXCHANGES = "integration/connections/test_exchanges.py"
_IN_A_CLUSTER = "integration/connections/test_exchanges_in_a_cluster.py"
_RESP = "unit/test_resp.py"

BUGS = (
    Bug(
        "in a Cluster, too, asyncio opens few connections",
        "as many as commands run at once", "connections/async_cluster.py",
        "asyncio.Semaphore(max_connections)", "asyncio.Semaphore(1000)",
        "integration/connections/test_cluster.py -k asyncio_bounds",
    ),
    Bug(
        "in asyncio, too, calls wait for a connection that works",
        "they do not", "connections/async_pools.py",
        "not self._available_connections and not await self._await_release(end)", "True",
        f"{_SHARED} -k stops_no_asyncio_queue",
    ),
    Bug(
        "in asyncio, too, a master that Sentinel has replaced is left at once",
        "its connections are kept", "connections/async_pools.py",
        "address is not None and address != self.master_address", "False",
        f"{_SENTINEL} -k planned_switch_over",
    ),
    Bug(
        "a file of TLS that is missing is named with its option",
        "Redis is to be started", "connections/causes.py",
        "_may_be_of_files(cause) and", "False and",
        "integration/connections/test_wrong_addresses.py -k file_of_tls",
    ),
    Bug(
        "nobody is asked at the terminal for the password of a key",
        "OpenSSL asks", "connections/causes.py",
        '{"ssl_password": "", **options}', "{**options}",
        "integration/connections/test_wrong_addresses.py -k password_of_a_key",
    ),
    Bug(
        "a port without TLS is not told as slow, by a Cluster either",
        "the cause is lost", "connections/causes.py",
        "    exc.__cause__ = cause\n", "",
        "integration/connections/test_wrong_addresses.py -k without_tls",
    ),
    Bug(
        "an error that is believed for a while keeps its cause",
        "it loses it", "connections/causes.py",
        "None if exc.__cause__ is None else copy(exc.__cause__)", "None",
        "integration/connections/test_wrong_addresses.py -k without_tls",
    ),
    Bug(
        "a first call takes few round trips to any server",
        "each connection tells the version of its library", "connections/clients.py",
        "DriverInfo(lib_version=None)", "DriverInfo()",
        "integration/producing/test_first_call.py -k takes_one",
    ),
    Bug(
        "over TLS a new connection is not taken for a broken one",
        "nothing is read from it before its first use", "connections/clients.py",
        "None if login else DriverInfo(lib_version=None)", "None",
        "integration/producing/test_first_call.py -k 'few_round_trips and tls'",
    ),
    Bug(
        "the doctor finds that a Cluster takes events",
        "its test write cannot be removed", "connections/cluster.py",
        "    def _split_command_across_slots(", "    def _split_command(",
        "integration/connections/test_cluster.py -k test_write",
    ),
    Bug(
        "an ASK for a node that owns no slot yet is followed",
        "the node stays unknown", "connections/cluster.py",
        "    if node is None and node_name:", "    if node is None and not node_name:",
        "integration/connections/test_cluster_growth.py -k worker_in_a_cluster_that_grows",
    ),
    Bug(
        "after a master's death the next event goes to its heir",
        "nobody is asked who holds its slots", "connections/cluster.py",
        "            _look_again(cluster, node)\n", "",
        f"{_IN_A_CLUSTER} -k after_a_failure",
    ),
    Bug(
        "a late answer is no other command's",
        "a connection whose answer was not waited for is used again", "connections/exchanges.py",
        "        connection.disconnect()\n        pool.release(connection)\n",
        "        pool.give_back(connection)\n",
        f"{_EXCHANGES} -k 'interrupted or late or gave_up'",
    ),
    Bug(
        "an error of a command is its answer, not the connection's end",
        "the first error ends the exchange", "connections/exchanges.py",
        "        return exc.with_traceback(None)  # its frames would keep the connection",
        "        raise",
        f"{_EXCHANGES} -k unix",
    ),
    Bug(
        "a client without timeouts that the application passes holds up no request",
        "its own timeouts hold", "connections/given.py",
        '        **times(timeout_seconds, unix="path" in pool.connection_kwargs),\n', "",
        "integration/connections/test_given_clients.py -k frozen",
    ),
    Bug(
        "a pipeline that the application passes is refused",
        "it is taken", "connections/given.py",
        "    if isinstance(client, (Pipeline, ClusterPipeline)):\n", "    if False:\n",
        "integration/connections/test_given_clients.py -k cannot_be_used",
    ),
    Bug(
        "a refused connection opens no breaker while others work",
        "the call does not wait for them", "connections/pools.py",
        "            if not self._await_release(end):\n", "            if True:\n",
        f"{_SHARED} -k opens_no_breaker",
    ),
    Bug(
        "a connection that was refused hides none that works",
        "it is kept", "connections/pools.py",
        "connection._sock is not None and ", "",
        f"{_SHARED} -k opens_no_breaker",
    ),
    Bug(
        "an answer that an interrupted command left is not read",
        "no connection is looked at", "connections/pools.py",
        "                    if in_order and connection._sock is not None:\n",
        "                    if connection._sock is not None:\n",
        f"{_EXCHANGES} -k redis_py_left",
    ),
    Bug(
        "an answer that is still to come is not read by another call",
        "a connection is kept that was cut short", "connections/pools.py",
        "        if failure is not None and is_of_this_use", "        if False and is_of_this_use",
        f"{_EXCHANGES} -k cut_short",
    ),
    Bug(
        "a connection is used by one call at a time",
        "it is free while it waits for an answer", "connections/pools.py",
        "                    connection = idle.pop()\n", "                    connection = idle[-1]\n",
        f"{_EXCHANGES} -k signal_handler",
    ),
    Bug(
        "who waits for a connection has the next that comes back",
        "nobody is woken", "connections/pools.py",
        "        if self._waiting:\n", "        if False:\n",
        f"{_EXCHANGES} -k whoever_waits",
    ),
    Bug(
        "a new password reaches connections in use",
        "they are given back past it", "connections/pools.py",
        '            and getattr(connection, "_re_auth_token", None) is None\n', "",
        f"{_EXCHANGES} -k new_password",
    ),
    Bug(
        "a health check that the URL asks for takes place",
        "the direct way leaves it out", "connections/pools.py",
        "        and not connection.health_check_interval\n", "",
        f"{_EXCHANGES} -k unix",
    ),
    Bug(
        "a server that closes the connection by an error is left",
        "its error is taken for a command's", "connections/resp.py",
        "        if isinstance(exc, RedisConnectionError):\n            raise exc\n", "",
        f"{_RESP} -k by_which_the_server_closes",
    ),
    Bug(
        "an answer too many is noticed",
        "it is left for the next command", "connections/resp.py",
        "    reading.end()\n", "",
        f"{_RESP} -k more_than_was_asked",
    ),
    Bug(
        "a master that Sentinel has replaced is left at once",
        "its connections are kept", "connections/sentinels.py",
        "address is not None and address != self.proxy.master_address", "False",
        f"{_SENTINEL} -k planned_switch_over",
    ),
    Bug(
        "while Sentinel elects, nothing is sent to the old master",
        "it is used until another is named", "connections/sentinels.py",
        "word.electing and electing_seconds < _LONGEST_ELECTION_SECONDS", "False",
        "unit/test_sentinels.py -k leaves_no_master",
    ),
    Bug(
        "a failover that does not end stops nobody",
        "the old master is left for ever", "connections/sentinels.py",
        "word.electing and electing_seconds < _LONGEST_ELECTION_SECONDS", "word.electing",
        "unit/test_sentinels.py -k without_end",
    ),
    Bug(
        "closing a queue leaves the others their connection",
        "it closes it", "connections/sharing.py",
        "return not self._users", "return True",
        f"{_SHARED} -k closing_a_queue",
    ),
    Bug(
        "a Redis Cluster under redis:// is told as that",
        "its log is to be seen", "connections/troubles.py",
        '    (MovedError, "of_cluster"),\n', "",
        "integration/connections/test_wrong_addresses.py -k a_wrong_address",
    ),
    Bug(
        "what the Sentinels refuse is told, and nobody waits for a failover",
        "it counts as a master that is away", "connections/troubles.py",
        "isinstance(each, MasterUnknown) and each.__cause__ is not None", "False",
        "integration/connections/test_wrong_addresses.py -k a_wrong_address",
    ),
    Bug(
        "whose right is missing is told on a Cluster, too",
        "only for the command itself", "connections/troubles.py",
        'next(filter(None, noted), "")', 'getattr(exc, "redis_user", "")',
        "integration/connections/test_wrong_addresses.py -k ask_a_cluster",
    ),
    Bug(
        "while Sentinel elects, nobody is told to start Redis",
        "everybody is", "connections/troubles.py",
        '    (MasterUnknown, "master"),\n', "",
        f"{_SENTINEL} -k told_to_start_redis",
    ),
    Bug(
        "who may not use our keys is told so, whatever Redis' release",
        "Redis 8 is not understood", "connections/troubles.py",
        '("has no permissions", "No permissions to access")', '("has no permissions",)',
        "integration/connections/test_troubles.py -k known_by_its_words",
    ),
    Bug(
        "a wrong password is not taken for a Redis that is away",
        "the types of Redis' answers are not looked at", "connections/troubles.py",
        '    (AuthenticationError, "password"),\n', "",
        "integration/connections/test_troubles.py -k password",
    ),
)  # fmt: skip
