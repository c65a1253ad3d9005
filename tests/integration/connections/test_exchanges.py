"""The direct way to Redis: packed bytes over one connection, and each answer to its own command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tools.waiting import wait_until
from vwo_celery.connections import open_client, twin_of
from vwo_celery.connections.pools import MOST_CONNECTIONS, WORDS
from vwo_celery.connections.resp import pack
from vwo_celery.testing import RedisServer

PATIENT_SECONDS = 10.0
KEY = "vwo:1:{a}:mark:1"
CLIENT_ID = pack(("CLIENT", "ID"))


@pytest.fixture
def client(redis: redis_py.Redis, redis_url: str) -> Iterator[Any]:
    """A client that has not connected yet."""
    with open_client(redis_url, timeout_seconds=PATIENT_SECONDS) as opened:
        yield opened


def echo(text: str) -> bytes:
    """A packed command that Redis answers with *text*."""
    return pack(("ECHO", text))


def test_each_command_has_its_answer(client: Any) -> None:
    """Several commands in one exchange are answered in their order; an error is one of the answers."""
    commands = echo("a") + pack(("NO SUCH COMMAND",)) + pack(("LPUSH", KEY, b"\xff", 2)) + echo("b")

    answers = client.exchange(KEY, commands, 4)
    client.delete(KEY)

    assert isinstance(answers[1], ResponseError)
    assert [answers[0], *answers[2:]] == [b"a", 2, b"b"]


def test_one_connection_serves_one_call_after_another(client: Any) -> None:
    """Calls one after another go over one connection, which redis-py's own commands use as well."""
    ids = {client.exchange(KEY, CLIENT_ID)[0] for _ in range(5)}

    ids.add(client.client_id())
    ids |= set(client.exchange(KEY, CLIENT_ID))

    assert len(ids) == 1


def test_a_connection_is_looked_at_only_after_redis_py_had_it(client: Any) -> None:
    """The direct way looks at no connection that it gave back itself, and at each of redis-py's."""
    looks: list[bool] = []
    client.exchange(KEY, CLIENT_ID)
    (connection,) = client.connection_pool._available_connections
    can_read = connection.can_read
    connection.can_read = lambda *words: looks.append(True) or can_read(*words)

    client.exchange(KEY, CLIENT_ID)
    client.exchange(KEY, CLIENT_ID)
    of_the_direct_way = len(looks)
    client.ping()
    client.exchange(KEY, CLIENT_ID)

    assert of_the_direct_way == 0
    assert len(looks) == 2


def test_an_answer_that_redis_py_left_is_not_read(client: Any) -> None:
    """A command of redis-py's that was interrupted before its answer spoils no exchange."""
    client.exchange(KEY, CLIENT_ID)
    connection = client.connection_pool.take()
    connection.send_command("ECHO", "left")
    wait_until(connection.can_read, what="the answer")
    client.connection_pool.release(connection)

    assert client.exchange(KEY, echo("mine")) == [b"mine"]


class Interrupted(BaseException):
    """What a signal handler raises in the middle of a call."""


def test_a_command_of_redis_pys_that_was_cut_short_leaves_no_answer(client: Any) -> None:
    """A signal handler raises between sending and reading: the answer comes after the look for one."""
    client.exchange(KEY, CLIENT_ID)
    pool = client.connection_pool

    def ask() -> None:
        connection = pool.get_connection(*WORDS)
        try:
            connection.send_command("BLPOP", KEY, 0.2)
            raise Interrupted
        finally:
            pool.release(connection)

    with pytest.raises(Interrupted):
        ask()

    assert client.exchange(KEY, echo("mine")) == [b"mine"]


def test_a_connection_that_a_signal_handler_made_vanish_is_replaced(client: Any) -> None:
    """One that was taken out of the pool and reached nobody does not count for the bound for good."""
    client.exchange(KEY, CLIENT_ID)
    pool = client.connection_pool
    pool.max_connections = 1
    pool._available_connections.clear()

    assert client.exchange(KEY, echo("mine")) == [b"mine"]


def test_an_interrupted_exchange_leaves_no_answer(client: Any, redis: redis_py.Redis) -> None:
    """What ends a wait for an answer closes the connection: the next call reads its own answer."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    client.exchange(KEY, CLIENT_ID)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            client.exchange(KEY, pack(("BLPOP", KEY, 1)) + echo("late"), 2)
    finally:
        signal.signal(signal.SIGALRM, before)
    redis.rpush(KEY, "for the interrupted call")

    answers = [client.exchange(KEY, echo(text))[0] for text in ("a", "b")]
    redis.delete(KEY)

    assert answers == [b"a", b"b"]


def test_a_late_answer_is_not_read(redis: redis_py.Redis, redis_url: str) -> None:
    """An answer that comes after the timeout is no later command's answer."""
    with open_client(redis_url, timeout_seconds=0.2) as client:
        client.exchange(KEY, CLIENT_ID)
        with pytest.raises(RedisTimeoutError):
            client.exchange(KEY, pack(("BLPOP", KEY, 1)))
        redis.rpush(KEY, "late")

        assert client.exchange(KEY, echo("mine")) == [b"mine"]
    redis.delete(KEY)


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from vwo_celery.connections import open_client
from vwo_celery.connections.resp import pack

client = open_client(sys.argv[1], timeout_seconds=10)

def wrong_answers(greenlet):
    found = 0
    for turn in range(10):
        with gevent.Timeout(0.01, False):
            client.exchange("a", pack(("BLPOP", "a", 1)))
        text = f"{greenlet}:{turn}".encode()
        found += client.exchange("a", pack(("ECHO", text))) != [text]
    return found

jobs = [gevent.spawn(wrong_answers, greenlet) for greenlet in range(10)]
gevent.joinall(jobs, raise_error=True)
print(sum(job.value for job in jobs))
"""


def test_a_greenlet_that_gave_up_leaves_no_answer(redis_url: str) -> None:
    """Under gevent, a Timeout in the middle of a wait spoils no later call of any greenlet."""
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, redis_url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (ran.returncode, ran.stdout.strip()) == (0, "0"), ran.stderr


def test_a_signal_handler_in_the_middle_of_a_call_has_a_connection_of_its_own(
    client: Any, redis: redis_py.Redis
) -> None:
    """A handler that comes while its thread waits for an answer gets its own answer."""
    found: list[Any] = []

    def ask_too(*_: object) -> None:
        found.extend(client.exchange(KEY, echo("inner")))
        redis.rpush(KEY, "outer")

    client.exchange(KEY, CLIENT_ID)
    before = signal.signal(signal.SIGALRM, ask_too)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        found.extend(client.exchange(KEY, pack(("BLPOP", KEY, 5)))[0])
    finally:
        signal.signal(signal.SIGALRM, before)

    assert found == [b"inner", KEY.encode(), b"outer"]


def test_a_closed_connection_fails_once(client: Any, redis: redis_py.Redis) -> None:
    """An idle connection that the server closed fails the exchange, not the command that follows."""
    client.exchange(KEY, CLIENT_ID)
    redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    with pytest.raises(RedisConnectionError):
        client.exchange(KEY, CLIENT_ID)

    assert client.execute_command("ECHO", "b") == b"b"
    assert client.exchange(KEY, echo("c")) == [b"c"]


def test_a_forked_child_has_connections_of_its_own(client: Any) -> None:
    """A child does not send over its parent's socket, on which both would read each other's answers."""
    (parent,) = client.exchange(KEY, CLIENT_ID)
    read_end, write_end = os.pipe()

    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, b"%d" % client.exchange(KEY, CLIENT_ID)[0])
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    child = int(os.read(read_end, 20))
    os.close(read_end)
    os.close(write_end)

    assert child != parent
    assert client.exchange(KEY, CLIENT_ID) == [parent]


def test_many_threads_share_few_connections(client: Any, redis: redis_py.Redis) -> None:
    """More threads than connections: each call has its own answer, and none waits in vain."""
    threads = MOST_CONNECTIONS + 8

    def ask(number: int) -> bool:
        texts = [f"{number}:{turn}" for turn in range(50)]
        return [client.exchange(KEY, echo(text))[0].decode() for text in texts] == texts

    with ThreadPoolExecutor(threads) as pool:
        answered = list(pool.map(ask, range(threads)))

    assert all(answered)
    assert len(client.connection_pool._available_connections) <= MOST_CONNECTIONS
    assert not client.connection_pool._in_use_connections


def test_whoever_waits_for_a_connection_gets_one_that_is_given_back(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """With all connections in use, a call waits for the first that an exchange gives back."""
    client = open_client(redis_url, timeout_seconds=3_600)
    client.connection_pool.max_connections = 1
    answers: list[Any] = []

    def ask(packed: bytes) -> None:
        answers.extend(client.exchange(KEY, packed))

    threading.Thread(target=ask, args=[pack(("BLPOP", KEY, 0))], daemon=True).start()
    wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="a blocked client")
    threading.Thread(target=ask, args=[echo("b")], daemon=True).start()
    wait_until(lambda: client.connection_pool._waiting == 1, what="a call that waits")
    redis.rpush(KEY, "a")

    wait_until(lambda: len(answers) == 2, what="both answers")
    assert answers == [[KEY.encode(), b"a"], b"b"]
    client.close()


def test_a_connection_with_a_new_password_goes_through_redis_pys_hands(client: Any) -> None:
    """A connection for which a credential provider has a new token, or which is to be opened anew, is
    given back by redis-py, which does that."""
    client.exchange(KEY, CLIENT_ID)
    pool = client.connection_pool
    (connection,) = pool._available_connections

    kept = [pool.keeps(connection)]
    for name in ("_re_auth_token", "_should_reconnect"):
        was = getattr(connection, name, None)
        setattr(connection, name, True)
        kept.append(pool.keeps(connection))
        setattr(connection, name, was)

    assert kept == [True, False, False]


def test_a_server_that_refuses_a_right_says_whose(redis: redis_py.Redis, redis_url: str) -> None:
    """The error of a denied command, which is an answer here, carries the user's name."""
    redis.execute_command("ACL", "SETUSER", "shop", "reset", "on", ">p", "~*", "+@all", "-lpush")
    address = redis_url.removeprefix("redis://")
    with open_client(f"redis://shop:p@{address}", timeout_seconds=PATIENT_SECONDS) as client:
        (answer,) = client.exchange(KEY, pack(("LPUSH", KEY, "a")))
    redis.execute_command("ACL", "DELUSER", "shop")

    assert answer.redis_user == "shop"


def test_a_replica_that_refuses_a_write_is_left(redis: redis_py.Redis) -> None:
    """A server that was demoted answers so once; its idle connections are closed."""
    with (
        RedisServer() as server,
        open_client(server.url, timeout_seconds=PATIENT_SECONDS) as client,
    ):
        (before,) = client.exchange(KEY, CLIENT_ID)
        client.execute_command("REPLICAOF", "127.0.0.1", server.port)
        (refused,) = client.exchange(KEY, pack(("LPUSH", KEY, "a")))

        assert isinstance(refused, ResponseError)
        assert client.exchange(KEY, CLIENT_ID) != [before]


@pytest.mark.parametrize("options", [{}, {"health_check_interval": 1}, {"protocol": 3}])
def test_over_a_unix_socket(tmp_path: Any, options: dict[str, int]) -> None:
    """The direct way is the same over a socket that is a file; what needs redis-py's hands has them."""
    path = tmp_path / "redis.sock"
    with (
        RedisServer(arguments=("--unixsocket", str(path))),
        open_client(f"unix://{path}", timeout_seconds=PATIENT_SECONDS) as client,
    ):
        client.connection_pool.connection_kwargs.update(options)
        answers = client.exchange(KEY, echo("a") + pack(("NO SUCH",)) + echo("b"), 3)
        (connection,) = client.connection_pool._available_connections

    assert [answers[0], type(answers[1]), answers[2]] == [b"a", ResponseError, b"b"]
    assert connection.is_plain == (not options)


def test_a_connection_that_does_more_than_redis_pys_does_it(redis: redis_py.Redis) -> None:
    """Where the application's connections send or read in a way of their own, so do ours."""
    sent: list[object] = []

    class Watched(redis_py.Connection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            sent.append(command)
            super().send_packed_command(command, check_health)

    options = redis.connection_pool.connection_kwargs
    pool = redis_py.ConnectionPool(Watched, host=options["host"], port=options["port"])
    client = twin_of(redis_py.Redis(connection_pool=pool), timeout_seconds=PATIENT_SECONDS)

    assert client.exchange(KEY, echo("a")) == [b"a"]
    assert sent[-1] == (echo("a"),)
