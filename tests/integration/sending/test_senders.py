"""Senders of many destinations, and one that threads, forks and greenlets share."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from contextlib import ExitStack

import pytest

from tools import http_servers as servers
from tools.senders import BODY, DEADLINE_SECONDS, KEY, MakeSender
from vwo_celery.destinations import Destination
from vwo_celery.errors import HostRefused
from vwo_celery.sending import sender as sender_module
from vwo_celery.sending.outcomes import Answer
from vwo_celery.sending.sender import Senders


def destination_of_account(account_id: int) -> Destination:
    """A destination that no test sends to."""
    return Destination(account_id=account_id, sdk_key=KEY, generation="fme")


def test_senders_keeps_one_for_each_destination() -> None:
    """Equal destinations share a sender; others have their own."""
    kept = Senders(request_timeout_seconds=20)

    first = kept.get(destination_of_account(1))

    assert kept.get(destination_of_account(1)) is first
    assert kept.get(destination_of_account(2)) is not first


def test_senders_forgets_the_one_used_longest_ago() -> None:
    """Ten thousand queues do not keep ten thousand senders, and a busy one is not forgotten."""
    kept = Senders(request_timeout_seconds=20)
    busy, idle = kept.get(destination_of_account(1)), kept.get(destination_of_account(2))

    for number in range(3, 1_500):
        kept.get(destination_of_account(number))
        assert kept.get(destination_of_account(1)) is busy

    assert kept.get(destination_of_account(2)) is not idle


def test_accounts_at_one_host_share_its_connection() -> None:
    """A hundred accounts at one host, each sent to twice, use one connection."""
    with servers.Server(servers.answering()) as server:
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        accounts = [
            Destination(account_id=number, sdk_key=KEY, generation="fme", base_url=server.url)
            for number in range(1, 101)
        ]
        for destination in accounts * 2:
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(connection.requests) for connection in server.connections] == [200]
        kept.close()


def test_each_of_many_hosts_keeps_its_connection() -> None:
    """Sent to in turn, each of 70 hosts gets its second batch over the connection of its first."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(servers.Server(servers.answering())) for _ in range(70)]
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        stack.callback(kept.close)
        for server in hosts * 2:
            destination = Destination(
                account_id=1, sdk_key=KEY, generation="fme", base_url=server.url
            )
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(server.connections) for server in hosts] == [1] * 70


def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the connection to the host used longest ago is closed."""
    monkeypatch.setattr(sender_module, "_MOST_HOSTS", 2)
    with ExitStack() as stack:
        hosts = [stack.enter_context(servers.Server(servers.answering())) for _ in range(3)]
        kept = Senders(request_timeout_seconds=20, allowed_hosts=["127.0.0.1"])
        stack.callback(kept.close)
        for server in (hosts[0], hosts[1], hosts[0], hosts[2], hosts[0], hosts[1]):
            destination = Destination(
                account_id=1, sdk_key=KEY, generation="fme", base_url=server.url
            )
            assert kept.get(destination).send(BODY, events=1).status == 200

        assert [len(server.connections) for server in hosts] == [1, 2, 1]


def test_senders_refuses_hosts() -> None:
    """A registration cannot make a worker send elsewhere."""
    elsewhere = Destination(
        account_id=1, sdk_key=KEY, generation="fme", base_url="https://evil.example"
    )

    with pytest.raises(HostRefused):
        Senders(request_timeout_seconds=20).get(elsewhere)


def test_threads_share_a_sender(make_sender: MakeSender) -> None:
    """Threads of one process may send at once; each keeps its own connection."""
    together = threading.Barrier(4)
    answers: list[Answer] = []

    def serve(connection: servers.Connection) -> None:
        while connection.read_request():
            together.wait(servers.LONGEST_WAIT_SECONDS)
            connection.send(servers.answer_bytes())

    with servers.Server(serve) as server:
        sender = make_sender(server.url)

        def send() -> None:
            answers.extend(sender.send(BODY, events=1) for _ in range(3))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(servers.LONGEST_WAIT_SECONDS)

        assert [answer.status for answer in answers] == [200] * 12
        assert len(server.connections) == 4


def run_python(program: str, *arguments: str) -> str:
    """The output of a program in its own process, with `sender` to the server of its first argument."""
    made = f"""
        import sys
        from vwo_celery.destinations import Destination
        from vwo_celery.sending.sender import Sender
        destination = Destination(
            account_id=1, sdk_key={KEY!r}, generation="fme", base_url=sys.argv[1])
        sender = Sender(
            destination, request_timeout_seconds={DEADLINE_SECONDS}, allowed_hosts=["127.0.0.1"])
    """
    source = textwrap.dedent(program).replace("MAKE_SENDER", textwrap.dedent(made))
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", source, *arguments],
        capture_output=True, text=True, check=False, timeout=servers.LONGEST_WAIT_SECONDS,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_forked_child_has_its_own_connection() -> None:
    """A child never writes into its parent's connection, which the parent can still use."""
    program = """
        import os
        MAKE_SENDER
        before = sender.send(b"{}", events=1).status
        child = os.fork()
        if child == 0:
            os._exit(sender.send(b"{}", events=1).status == 200)
        _, status = os.waitpid(child, 0)
        print(before, os.waitstatus_to_exitcode(status), sender.send(b"{}", events=1).status)
    """
    with servers.Server(servers.answering()) as server:
        printed = run_python(program, server.url)

        assert printed == "200 1 200"
        assert [len(connection.requests) for connection in server.connections] == [2, 1]


def test_greenlets_keep_their_deadlines_at_once() -> None:
    """Under gevent the deadline holds as well, and a slow server delays no other greenlet."""
    program = """
        from gevent import monkey; monkey.patch_all()
        import gevent, time
        MAKE_SENDER
        began = time.monotonic()
        sent = [gevent.spawn(sender.send, b"{}", events=1) for _ in range(10)]
        gevent.joinall(sent)
        print({greenlet.value.failure.value for greenlet in sent}, time.monotonic() - began < 4)
    """
    with servers.Server(servers.trickling(b"HTTP/1.1 200 OK\r\n" + b"y" * 1_000)) as server:
        assert run_python(program, server.url) == "{'timeout'} True"
