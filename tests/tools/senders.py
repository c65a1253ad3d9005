"""What tests of the sender share: a key, bodies, deadlines, and a send that must end by then."""

from __future__ import annotations

import time
from collections.abc import Callable

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

MakeSender = Callable[..., Sender]


def send_by_deadline(sender: Sender, body: bytes = BODY) -> Answer:
    """Send, and check by a generous clock that it took no longer than the deadline."""
    began = time.monotonic()
    answer = sender.send(body, events=1)
    assert time.monotonic() - began < ENDED_BY_SECONDS
    return answer
