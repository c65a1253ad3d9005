"""What tests of the sender share: a key, bodies, deadlines, and sends that must end by then."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from tools import http_servers as servers
from vwo_celery.events import MAX_BODY_BYTES
from vwo_celery.sending.outcomes import Answer
from vwo_celery.sending.sender import Sender

#: Has characters that a URL must encode, and some special to regular expressions.
KEY = r"0123456789abcdef/+.*0123456789ABC\1F"
BODY = b'{"ev":[{"d":{}}]}'
BIG_BODY = b"x" * (MAX_BODY_BYTES - 1)
DEADLINE_SECONDS = 0.5
#: Generous limit in seconds for busy machines; without a deadline these tests would take 30
#: seconds.
ENDED_BY_SECONDS = 5.0
#: Most memory that one answer may cost in bytes, including the server's buffers in this process.
MOST_MEMORY_BYTES = 16_000_000
#: Beginnings of answers.
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

MakeSender = Callable[..., Sender]


def send_by_deadline(sender: Sender, body: bytes = BODY) -> Answer:
    """Send, and check by a generous clock that it took no longer than the deadline."""
    began = time.monotonic()
    answer = sender.send(body, events=1)
    assert time.monotonic() - began < ENDED_BY_SECONDS
    return answer


def answer_of(
    make_sender: MakeSender, script: servers.Script, seconds: float = DEADLINE_SECONDS
) -> Answer:
    """The answer to one batch, in bounded time and bounded memory."""
    with servers.Server(script) as server:
        sender = make_sender(server.url, seconds=seconds)
        tracemalloc.start()
        try:
            answer = sender.send(BODY, events=1)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.elapsed_seconds < ENDED_BY_SECONDS
    assert peak_bytes < MOST_MEMORY_BYTES
    return answer
