"""redis-py quotes commands and URLs in its errors; no error or traceback of ours does."""

from __future__ import annotations

import traceback

import pytest
import redis as redis_py
from msgspec.structs import replace
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import TimeoutError as Late

import vwo_celery
from tools.producers import DESTINATION
from vwo_celery.connections import open_async_client, open_client, unavailable
from vwo_celery.delivering.worker import Worker
from vwo_celery.errors import QueueUnavailable, SettingsError
from vwo_celery.producing import aio
from vwo_celery.producing.queue import producer_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.batches import Limits
from vwo_celery.queue.words.registration import Registration
from vwo_celery.sending.sender import Sender, Senders
from vwo_celery.settings import Settings
from vwo_celery.signals import BatchReport
from vwo_celery.text.masking import secrets_of

#: redis-py cuts a command only at a space: this one would be quoted in full.
KEY = "s3cret-and-s3cret-again"
LIMITS = Limits(100, 60_000, 1_000_000, 1_000, 1_000_000, 8, 60_000)
REGISTRATION = Registration(replace(DESTINATION, sdk_key=KEY), LIMITS)


def traceback_of(caught: pytest.ExceptionInfo[BaseException]) -> str:
    """The error as a log shows it, causes included."""
    return "".join(traceback.format_exception(caught.value))


def test_a_registration_that_redis_refuses_shows_no_key(redis: redis_py.Redis) -> None:
    """redis-py quotes a pipeline's failed command in its error; the SDK key is removed from it."""
    fleet = Fleet(redis, "vwo")
    redis.set(fleet.keys.queues, "no hash")

    with pytest.raises(QueueUnavailable, match="WRONGTYPE") as caught:
        fleet.register(REGISTRATION)

    assert "s3cret" not in traceback_of(caught)
    redis.flushall()


@pytest.mark.parametrize(
    "text",
    [
        'Command # 1 (HSET q {"s3cret) of pipeline caused error: x"}) of pipeline caused error: OOM',
        "Command # 12 (LPUSH open s3cret\nevent) of pipeline caused error: OOM",
        "OOM, with args beginning with: 's3cret' 'an\nevent' ",
    ],
)
@pytest.mark.parametrize("kind", [ResponseError, Refused])
def test_a_failed_command_is_cut_out_of_the_error(text: str, kind: type[Exception]) -> None:
    """A failed command of any length and content is cut out of the error; Redis' own text stays."""
    with pytest.raises(QueueUnavailable) as caught, unavailable("a test"):
        raise kind(text)

    assert str(caught.value).endswith(f" {kind.__name__}: OOM")
    assert "s3cret" not in traceback_of(caught)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@127.0.0.1:1/0?db=s3cret",
        "redis://:s3cret@127.0.0.1:1/0?socket_timeout=s3cret",
        "redis://:s3cret@127.0.0.1:1/0?unheard_of=s3cret",
        "rediss://:s3cret@127.0.0.1:1/0?ssl_cert_reqs=s3cret",
        "unix://:s3cret@/run/redis.sock?db=s3cret",
        "redis+cluster://:s3cret@127.0.0.1:1,127.0.0.1:2/0?db=s3cret",
        "redis+cluster://:s3cret/s3cret@127.0.0.1:1",
        "redis+sentinel://:s3cret/s3cret@127.0.0.1:1/mymaster",
    ],
)
@pytest.mark.parametrize("open_one", [open_client, open_async_client])
def test_a_url_that_redis_py_cannot_use_is_an_error_of_ours(url: str, open_one: object) -> None:
    """A URL that redis-py cannot use is a SettingsError at once, without redis-py's quotation of it."""
    with pytest.raises(SettingsError, match="redis_url cannot be used") as caught:
        open_one(url, timeout_seconds=1.0)  # type: ignore[operator]

    assert "s3cret" not in traceback_of(caught)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://host/0", set()),
        ("redis://user:pass-word@host", {"pass-word"}),
        ("redis://:a%2Fb%40c@host", {"a%2Fb%40c", "a/b@c"}),
        ("redis://:one/two@host", {"one/two", "one", "two"}),
        (
            "amqp://u:first@a;amqp://u:second@b",
            {"first", "second"},
        ),
        ("redis://host?password=p%20w&db=1&sentinel_password=three", {"p w", "three"}),
    ],
)
def test_the_secrets_of_a_url_are_known_in_pieces(url: str, secrets: set[str]) -> None:
    """Parts of a URL's secrets are masked as well: a library may quote one as a port, or decoded."""
    assert set(secrets_of(url)) == secrets


def test_no_repr_shows_a_key_or_a_password() -> None:
    """No repr shows a key or a password: objects end up in logs, debuggers and error trackers."""
    url = "redis://:s3cret@127.0.0.1:1/0"
    destination = REGISTRATION.destination
    queue = vwo_celery.connect(destination, redis_url=url, spool_dir="")
    settings = Settings(redis_url=url, broker_url=url)
    producer = producer_of(queue)
    worker = Worker(producer.fleet, settings, lambda wakeup: None)
    senders = Senders(request_timeout_seconds=1)
    shown = [
        destination, REGISTRATION, LIMITS, queue, producer, producer.fleet, producer.shards[0], settings,
        worker, senders, senders.get(destination), Sender(destination, request_timeout_seconds=1),
        producer.fleet.client,
        aio.connect(destination, redis_url=url, spool_dir=""),
    ]  # fmt: skip

    assert [text for text in map(repr, shown) if "s3cret" in text] == []
    assert "s3cret" not in f"{destination} {settings} {queue!s} {vars(BatchReport)}"


@pytest.mark.parametrize("kind", [Refused, Late])
def test_an_error_does_not_say_that_redis_answered_where_it_did_not(kind: type[Exception]) -> None:
    """A connection that failed is told as such; what Redis answered, such as a refusal, is as before."""
    with pytest.raises(QueueUnavailable) as away, unavailable("a test"):
        raise kind("refused")
    with pytest.raises(QueueUnavailable) as answered, unavailable("a test"):
        raise AuthenticationError("wrong password")

    assert "answered" not in str(away.value)
    assert f"{kind.__name__}: refused" in str(away.value)
    assert str(answered.value) == (
        "a test: Redis does not accept the user or the password (AuthenticationError: wrong password)"
    )
