"""Settings: every choice of an operator, in one frozen struct.

Made once, when a queue or a worker is set up, before any event exists; nothing is lost
if the process dies here. msgspec checks each field against the range written at the field; error
messages and the table in docs/reference/settings.md are made from the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vwo_celery.errors import SettingsError
from vwo_celery.settings import patterns
from vwo_celery.settings.arguments import SettingsArguments, with_settings
from vwo_celery.settings.checks import check, check_order, without_secrets
from vwo_celery.settings.folders import state_folder
from vwo_celery.settings.ranges import number as _number
from vwo_celery.settings.ranges import seconds as _seconds
from vwo_celery.settings.ranges import text as _text
from vwo_celery.settings.redis_url import SCHEMES, RedisUrl
from vwo_celery.settings.relay_batches import WANTED
from vwo_celery.settings.sources import Given, from_arguments, from_django, from_environment

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, in range; `load` also reads Django's settings and the environment.

    Raises:
        SettingsError: A value is out of its range or contradicts another.
    """

    redis_url: Annotated[
        str,
        _text(
            f"a URL that begins with {'://, '.join(SCHEMES[:-1])}:// or {SCHEMES[-1]}://",
            "Redis that holds the queues.",
            patterns.REDIS_URL,
        ),
    ] = "redis://localhost:6379/0"
    broker_url: Annotated[
        str,
        _text(
            "a URL such as redis://… or amqp://…, or empty",
            "Celery's broker, used by workers only; empty: the same as `redis_url`.",
            r"^$|^[a-z0-9+]+://",
        ),
    ] = ""
    namespace: Annotated[
        str,
        _text(
            "1 to 64 letters, digits, dots, dashes or underscores",
            "First part of every key in Redis; the same for producers and workers.",
            r"^[A-Za-z0-9._-]{1,64}\Z",
        ),
    ] = "vwo"
    celery_queue: Annotated[
        str,
        _text(
            "a name of at most 255 characters, or empty",
            "Celery queue for the tasks of this package; empty: the app's default queue.",
            r"^.{0,255}\Z",
        ),
    ] = ""
    allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(pattern=patterns.HOST)], ...],
        _text(
            "a list of hosts, each for any port or with one port, such as proxy.example:8443",
            "Hosts that a worker may send to, in addition to VWO's own.",
        ),
    ] = ()
    callback_modules: Annotated[
        tuple[Annotated[str, Meta(pattern=patterns.MODULE)], ...],
        _text(
            "a list of module names, such as shop.analytics",
            "Modules that define each `flush_callback` that a worker may call.",
        ),
    ] = ()
    log_format: Annotated[
        Literal["text", "json"],
        _text("`text` or `json`", "The form of the lines that workers and beat log."),
    ] = "text"
    sweep_interval_seconds: Annotated[
        float,
        _seconds(
            0.05,
            3600,
            "Time between two sweeps, which find the batches that are due; those that beat sends as a "
            "backstop are at least ten seconds apart.",
        ),
    ] = 1.0
    enqueue_timeout_seconds: Annotated[
        float,
        _seconds(
            0.005, 60, "Longest time an `enqueue` may spend on Redis before it uses the spool."
        ),
    ] = 0.25
    request_timeout_seconds: Annotated[
        float, _seconds(0.1, 600, "Longest time for one POST to VWO, answer included.")
    ] = 20.0
    lease_seconds: Annotated[
        float,
        _seconds(
            0.2,
            86_400,
            "How long a worker that has gone silent keeps its batch; must exceed "
            "`request_timeout_seconds`.",
        ),
    ] = 60.0
    backoff_base_seconds: Annotated[
        float,
        _seconds(
            0.01,
            3600,
            "Base of the backoff: after the k-th failure the delay is random, up to base × 2^k.",
        ),
    ] = 1.0
    backoff_max_seconds: Annotated[
        float,
        _seconds(
            0.01,
            86_400,
            "Longest such delay, also if VWO's `Retry-After` is longer; must not be under "
            "`backoff_base_seconds`.",
        ),
    ] = 300.0
    max_parallel_sends: Annotated[
        int,
        _number(
            1,
            1000,
            "batches",
            "Most batches of one destination in flight at once, over all workers.",
        ),
    ] = 8
    circuit_failures: Annotated[
        int,
        _number(
            1,
            1000,
            "failures",
            "Failures in a row after which a destination's circuit opens: until one batch is accepted, "
            "only one at a time is sent, as a probe.",
        ),
    ] = 5
    max_batch_age_seconds: Annotated[
        float, _seconds(1, 31_536_000, "Age at which a batch is dead-lettered instead of retried.")
    ] = 604_800.0
    max_lost_leases: Annotated[
        int,
        _number(
            1,
            1000,
            "leases",
            "Most leases of one batch that may run out because its worker died or hung; after one "
            "more the batch is dead-lettered.",
        ),
    ] = 10
    wait_replicas: Annotated[
        int,
        _number(
            0,
            10,
            "replicas",
            "Replicas that must confirm an event before `enqueue` answers; if fewer do in time, the "
            "receipt says `not_replicated`.",
        ),
    ] = 0
    shards: Annotated[
        int,
        _number(
            1,
            64,
            "shards",
            "Parts in which a queue is kept; more than 1 only for very busy queues.",
        ),
    ] = 1
    max_queue_events: Annotated[
        int, _number(1, 1_000_000_000, "events", "Most events in one queue, see `when_full`.")
    ] = 1_000_000
    max_queue_bytes: Annotated[
        int, _number(1_000, 2**40, "bytes", "Most bytes of events in one queue, see `when_full`.")
    ] = 2**30
    when_full: Annotated[
        Literal["spool", "drop_newest", "drop_oldest", "raise"],
        _text(
            "`spool`, `drop_newest`, `drop_oldest` or `raise`",
            "What `enqueue` does if the queue, or the spool, is full: put the event into the local "
            "spool, drop it, drop the oldest events that no worker holds, or raise `QueueFull`.",
        ),
    ] = "spool"
    spool_dir: Annotated[
        str,
        _text(
            "an absolute path, also one that begins with ~, or empty",
            "Folder on a local disk for the spool, where events wait while Redis does not take them; "
            "empty: no spool, such events are dropped.",
            r"^$|^[/~]",
        ),
    ] = msgspec.field(default_factory=state_folder)
    max_spool_bytes: Annotated[
        int, _number(100_000, 2**40, "bytes", "Most bytes in the spool of one Redis and namespace.")
    ] = 2**28
    max_dead_events: Annotated[
        int,
        _number(
            0,
            100_000_000,
            "events",
            "Most dead letters kept of one queue, set in the workers; beyond it the oldest batches are "
            "dropped and counted. 0 keeps none.",
        ),
    ] = 100_000
    history: Annotated[
        Literal["full", "short", "off"],
        _text(
            "`full`, `short` or `off`",
            "How long samples of each queue's counters are kept, set in the workers: a sample a minute "
            "for 8 hours, and with `full`, up to 200 queues, coarser ones for 90 days.",
        ),
    ] = "full"
    alive_file: Annotated[
        str,
        _text(
            "an absolute path, or empty",
            "File that a worker's listener writes about once a second, for the probes that look at one "
            "worker; each worker of a host needs a file of its own; empty: none.",
            r"^$|^/",
        ),
    ] = ""
    metrics_max_queues: Annotated[
        int,
        _number(1, 10_000, "queues", "Most queues that metrics name; the rest is `_other`."),
    ] = 100
    relay_listen: Annotated[
        str,
        _text(
            "HOST:PORT, such as 127.0.0.1:8099 or [::1]:8099; port 0 for any free one",
            "Address at which `vwo-celery relay` listens; beyond loopback only with a list of accounts.",
            patterns.ADDRESS,
        ),
    ] = "127.0.0.1:8099"
    relay_accounts: Annotated[
        tuple[Annotated[str, Meta(pattern=patterns.ACCOUNT_AND_KEY)], ...],
        _text(
            "a list of ACCOUNT=KEY, with * in place of a key for any key of the account",
            "Accounts and SDK keys whose events the relay takes; everybody's where neither this list "
            "nor a file names one.",
        ),
    ] = ()
    relay_accounts_file: Annotated[
        str,
        _text(
            "a path, or empty",
            "File with further accounts and keys, which the relay reads again at SIGHUP.",
        ),
    ] = ""
    relay_upstream: Annotated[
        str,
        _text(
            "a URL that begins with http:// or https://, or empty",
            "URL that stands for VWO's hosts in all that the relay forwards, such as the vendor's "
            "gateway; its host must be in the workers' `allowed_hosts`; empty: VWO's own.",
            r"^$|^https?://",
        ),
    ] = ""
    relay_gateway_upstream: Annotated[
        str,
        _text(
            "a URL that begins with http:// or https://, or empty",
            "VWO's gateway, which answers what FME SDKs ask about visitors; empty: `relay_upstream`, "
            "and without that such requests are answered 404.",
            r"^$|^https?://",
        ),
    ] = ""
    relay_workers: Annotated[
        int, _number(1, 256, "processes", "Processes of `vwo-celery relay` that share its address.")
    ] = 1
    relay_allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=patterns.ORIGIN)], ...],
        _text(
            "a list of origins such as https://shop.example, or *",
            "Origins whose pages may send to the relay with the SDKs for browsers.",
        ),
    ] = ()
    relay_diagnostics: Annotated[
        Literal["forward", "queue", "drop"],
        _text(
            "`forward`, `queue` or `drop`",
            "What the relay does with the reports of SDKs on themselves: send each on at once and once, "
            "put it on the queue, or throw it away.",
        ),
    ] = "forward"
    relay_events_per_request: Annotated[
        int,
        _number(1, 5000, "events", "Number of relayed events at which a batch of them leaves."),
    ] = 100
    relay_request_time_interval: Annotated[
        float,
        _seconds(1, 31_536_000, "Age of the oldest relayed event at which a batch of them leaves."),
    ] = 600.0
    relay_batch_event_data: Annotated[
        str,
        _text(
            WANTED,
            "When relayed events of single accounts leave: batch options by account, in the spelling of "
            "any SDK, instead of the two settings above.",
        ),
    ] = ""
    console_listen: Annotated[
        str,
        _text(
            "HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; port 0 for any free one",
            "Address at which `vwo-celery web` listens; beyond loopback only with credentials.",
            patterns.ADDRESS,
        ),
    ] = "127.0.0.1:8000"
    console_credentials_file: Annotated[
        str,
        _text(
            "a path, or empty",
            "File with the people and programs that may use `vwo-celery web`, each with a role and a "
            "secret; it is read again when it changes.",
        ),
    ] = ""
    console_hosts: Annotated[
        tuple[Annotated[str, Meta(pattern=patterns.HOST)], ...],
        _text(
            "a list of names of hosts, without ports",
            "Names by which browsers may ask for `vwo-celery web`, besides localhost and addresses.",
        ),
    ] = ()
    console_mask: Annotated[
        tuple[str, ...],
        _text(
            "a list of keys of events",
            "Keys of events whose values the console shows to nobody, such as `uuid`, `visId`.",
        ),
    ] = ()

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            msgspec.structs.force_setattr(self, name, check(name, Given(getattr(self, name))))
        check_order(self)

    @classmethod
    @with_settings
    def load(cls, **arguments: Unpack[SettingsArguments]) -> Settings:
        """Read each setting from *arguments*, else Django's VWO_CELERY, else VWO_CELERY_… variables.

        Args:
            arguments: Settings by name, listed below; None counts as not given.

        Raises:
            SettingsError: A value is wrong, or there is no such setting. Names the setting, its
                range, the given value (of a URL only the scheme, since the rest may hold a
                password) and where that was written.
        """
        names = cls.__struct_fields__
        given = {
            **from_environment(names),
            **from_django(names),
            **from_arguments(arguments, names),
        }
        checked = {name: check(name, each) for name, each in given.items()}
        try:
            return cls(**checked)
        except SettingsError as exc:
            origins = [f"{name}: {given[name].origin}" for name in given if name in str(exc)]
            raise SettingsError(f"{exc} ({', '.join(origins)})") from None

    @property
    def effective_broker_url(self) -> str:
        """URL of Celery's broker, in Celery's spelling.

        Raises:
            SettingsError: `broker_url` is not set, and `redis_url` cannot be a broker.
        """
        url = RedisUrl.parse(self.broker_url or self.redis_url)
        if self.broker_url:
            is_redis = url.scheme in ("redis", "rediss") and not url.kind
            return url.as_broker_url() if is_redis and not url.problem() else self.broker_url
        if url.kind:
            raise SettingsError(
                f"broker_url must be set where redis_url is {url.scheme}+{url.kind}://…: Celery cannot "
                "use that as its broker; name a single Redis, or RabbitMQ"
            )
        return url.as_broker_url()

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, without_secrets(name, value)) for name, value in values]
