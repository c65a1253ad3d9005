"""Types and descriptions of the arguments by which applications choose: settings and batch options.

Type checkers and editors read them here, and `help(vwo_celery.connect)` shows their texts. The classes
are made from the settings and tables beside this file. No state; nothing to lose.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypedDict, TypeVar

import msgspec

from vwo_celery.settings.callbacks import FlushCallback as Callback

Documented = TypeVar("Documented", bound=Callable[..., Any])

# -- made by `make docs`


class SettingsArguments(TypedDict, total=False):
    """Settings, by name.

    Each is also VWO_CELERY_<NAME> in the environment, and a key of VWO_CELERY in Django's
    settings. None counts as not given.

    redis_url:
        Redis that holds the queues. It must be a URL that begins with redis://, rediss://, unix://,
        redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://. Default:
        redis://localhost:6379/0.
    broker_url:
        Celery's broker, used by workers only; empty: the same as redis_url. It must be a URL such
        as redis://… or amqp://…, or empty. Default: empty.
    namespace:
        First part of every key in Redis; the same for producers and workers. It must be 1 to 64
        letters, digits, dots, dashes or underscores. Default: vwo.
    celery_queue:
        Celery queue for the tasks of this package; empty: the app's default queue. It must be a
        name of at most 255 characters, or empty. Default: empty.
    allowed_hosts:
        Hosts that a worker may send to, in addition to VWO's own. It must be a list of hosts, each
        for any port or with one port, such as proxy.example:8443. Default: none.
    callback_modules:
        Modules that define each flush_callback that a worker may call. It must be a list of module
        names, such as shop.analytics. Default: none.
    log_format:
        The form of the lines that workers and beat log. It must be text or json. Default: text.
    sweep_interval_seconds:
        Time between two sweeps, which find the batches that are due; those that beat sends as a
        backstop are at least ten seconds apart. It must be a number of seconds from 0.05 to 3,600.
        Default: 1.
    enqueue_timeout_seconds:
        Longest time an enqueue may spend on Redis before it uses the spool. It must be a number of
        seconds from 0.005 to 60. Default: 0.25.
    request_timeout_seconds:
        Longest time for one POST to VWO, answer included. It must be a number of seconds from 0.1
        to 600. Default: 20.
    lease_seconds:
        How long a worker that has gone silent keeps its batch; must exceed request_timeout_seconds.
        It must be a number of seconds from 0.2 to 86,400. Default: 60.
    backoff_base_seconds:
        Base of the backoff: after the k-th failure the delay is random, up to base × 2^k. It must
        be a number of seconds from 0.01 to 3,600. Default: 1.
    backoff_max_seconds:
        Longest such delay, also if VWO's Retry-After is longer; must not be under
        backoff_base_seconds. It must be a number of seconds from 0.01 to 86,400. Default: 300.
    max_parallel_sends:
        Most batches of one destination in flight at once, over all workers. It must be a whole
        number of batches from 1 to 1,000. Default: 8.
    circuit_failures:
        Failures in a row after which a destination's circuit opens: until one batch is accepted,
        only one at a time is sent, as a probe. It must be a whole number of failures from 1 to
        1,000. Default: 5.
    max_batch_age_seconds:
        Age at which a batch is dead-lettered instead of retried. It must be a number of seconds
        from 1 to 31,536,000. Default: 604800.
    max_lost_leases:
        Most leases of one batch that may run out because its worker died or hung; after one more
        the batch is dead-lettered. It must be a whole number of leases from 1 to 1,000. Default:
        10.
    wait_replicas:
        Replicas that must confirm an event before enqueue answers; if fewer do in time, the receipt
        says not_replicated. It must be a whole number of replicas from 0 to 10. Default: 0.
    shards:
        Parts in which a queue is kept; more than 1 only for very busy queues. It must be a whole
        number of shards from 1 to 64. Default: 1.
    max_queue_events:
        Most events in one queue, see when_full. It must be a whole number of events from 1 to
        1,000,000,000. Default: 1000000.
    max_queue_bytes:
        Most bytes of events in one queue, see when_full. It must be a whole number of bytes from
        1,000 to 1,099,511,627,776. Default: 1073741824.
    when_full:
        What enqueue does if the queue, or the spool, is full: put the event into the local spool,
        drop it, drop the oldest events that no worker holds, or raise QueueFull. It must be spool,
        drop_newest, drop_oldest or raise. Default: spool.
    spool_dir:
        Folder on a local disk for the spool, where events wait while Redis does not take them;
        empty: no spool, such events are dropped. It must be an absolute path, also one that begins
        with ~, or empty. Default: $XDG_STATE_HOME/vwo-celery, else ~/.local/state/vwo-celery.
    max_spool_bytes:
        Most bytes in the spool of one Redis and namespace. It must be a whole number of bytes from
        100,000 to 1,099,511,627,776. Default: 268435456.
    max_dead_events:
        Most dead letters kept of one queue, set in the workers; beyond it the oldest batches are
        dropped and counted. 0 keeps none. It must be a whole number of events from 0 to
        100,000,000. Default: 100000.
    history:
        How long samples of each queue's counters are kept, set in the workers: a sample a minute
        for 8 hours, and with full, up to 200 queues, coarser ones for 90 days. It must be full,
        short or off. Default: full.
    alive_file:
        File that a worker's listener writes about once a second, for the probes that look at one
        worker; each worker of a host needs a file of its own; empty: none. It must be an absolute
        path, or empty. Default: empty.
    metrics_max_queues:
        Most queues that metrics name; the rest is _other. It must be a whole number of queues from
        1 to 10,000. Default: 100.
    relay_listen:
        Address at which vwo-celery relay listens; beyond loopback only with a list of accounts. It
        must be HOST:PORT, such as 127.0.0.1:8099 or [::1]:8099; port 0 for any free one. Default:
        127.0.0.1:8099.
    relay_accounts:
        Accounts and SDK keys whose events the relay takes; everybody's where neither this list nor
        a file names one. It must be a list of ACCOUNT=KEY, with * in place of a key for any key of
        the account. Default: none.
    relay_accounts_file:
        File with further accounts and keys, which the relay reads again at SIGHUP. It must be a
        path, or empty. Default: empty.
    relay_upstream:
        URL that stands for VWO's hosts in all that the relay forwards, such as the vendor's
        gateway; its host must be in the workers' allowed_hosts; empty: VWO's own. It must be a URL
        that begins with http:// or https://, or empty. Default: empty.
    relay_gateway_upstream:
        VWO's gateway, which answers what FME SDKs ask about visitors; empty: relay_upstream, and
        without that such requests are answered 404. It must be a URL that begins with http:// or
        https://, or empty. Default: empty.
    relay_workers:
        Processes of vwo-celery relay that share its address. It must be a whole number of processes
        from 1 to 256. Default: 1.
    relay_allowed_origins:
        Origins whose pages may send to the relay with the SDKs for browsers. It must be a list of
        origins such as https://shop.example, or *. Default: none.
    relay_diagnostics:
        What the relay does with the reports of SDKs on themselves: send each on at once and once,
        put it on the queue, or throw it away. It must be forward, queue or drop. Default: forward.
    relay_events_per_request:
        Number of relayed events at which a batch of them leaves. It must be a whole number of
        events from 1 to 5,000. Default: 100.
    relay_request_time_interval:
        Age of the oldest relayed event at which a batch of them leaves. It must be a number of
        seconds from 1 to 31,536,000. Default: 600.
    relay_batch_event_data:
        When relayed events of single accounts leave: batch options by account, in the spelling of
        any SDK, instead of the two settings above. It must be a JSON object such as {"888888":
        {"batchMinSize": 500}}, a mapping, or empty. Default: empty.
    console_listen:
        Address at which vwo-celery web listens; beyond loopback only with credentials. It must be
        HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; port 0 for any free one. Default:
        127.0.0.1:8000.
    console_credentials_file:
        File with the people and programs that may use vwo-celery web, each with a role and a
        secret; it is read again when it changes. It must be a path, or empty. Default: empty.
    console_hosts:
        Names by which browsers may ask for vwo-celery web, besides localhost and addresses. It must
        be a list of names of hosts, without ports. Default: none.
    console_mask:
        Keys of events whose values the console shows to nobody, such as uuid, visId. It must be a
        list of keys of events. Default: none.
    """

    redis_url: str | None
    broker_url: str | None
    namespace: str | None
    celery_queue: str | None
    allowed_hosts: list[str] | tuple[str, ...] | None
    callback_modules: list[str] | tuple[str, ...] | None
    log_format: Literal["text", "json"] | None
    sweep_interval_seconds: float | None
    enqueue_timeout_seconds: float | None
    request_timeout_seconds: float | None
    lease_seconds: float | None
    backoff_base_seconds: float | None
    backoff_max_seconds: float | None
    max_parallel_sends: int | None
    circuit_failures: int | None
    max_batch_age_seconds: float | None
    max_lost_leases: int | None
    wait_replicas: int | None
    shards: int | None
    max_queue_events: int | None
    max_queue_bytes: int | None
    when_full: Literal["spool", "drop_newest", "drop_oldest", "raise"] | None
    spool_dir: str | os.PathLike[str] | None
    max_spool_bytes: int | None
    max_dead_events: int | None
    history: Literal["full", "short", "off"] | None
    alive_file: str | None
    metrics_max_queues: int | None
    relay_listen: str | None
    relay_accounts: list[str] | tuple[str, ...] | None
    relay_accounts_file: str | None
    relay_upstream: str | None
    relay_gateway_upstream: str | None
    relay_workers: int | None
    relay_allowed_origins: list[str] | tuple[str, ...] | None
    relay_diagnostics: Literal["forward", "queue", "drop"] | None
    relay_events_per_request: int | None
    relay_request_time_interval: float | None
    relay_batch_event_data: str | Mapping[str, BatchEventData] | None
    console_listen: str | None
    console_credentials_file: str | None
    console_hosts: list[str] | tuple[str, ...] | None
    console_mask: list[str] | tuple[str, ...] | None


class DjangoSettings(SettingsArguments, total=False):
    """VWO_CELERY in Django's settings: the names in lower or in upper case."""

    REDIS_URL: str | None
    BROKER_URL: str | None
    NAMESPACE: str | None
    CELERY_QUEUE: str | None
    ALLOWED_HOSTS: list[str] | tuple[str, ...] | None
    CALLBACK_MODULES: list[str] | tuple[str, ...] | None
    LOG_FORMAT: Literal["text", "json"] | None
    SWEEP_INTERVAL_SECONDS: float | None
    ENQUEUE_TIMEOUT_SECONDS: float | None
    REQUEST_TIMEOUT_SECONDS: float | None
    LEASE_SECONDS: float | None
    BACKOFF_BASE_SECONDS: float | None
    BACKOFF_MAX_SECONDS: float | None
    MAX_PARALLEL_SENDS: int | None
    CIRCUIT_FAILURES: int | None
    MAX_BATCH_AGE_SECONDS: float | None
    MAX_LOST_LEASES: int | None
    WAIT_REPLICAS: int | None
    SHARDS: int | None
    MAX_QUEUE_EVENTS: int | None
    MAX_QUEUE_BYTES: int | None
    WHEN_FULL: Literal["spool", "drop_newest", "drop_oldest", "raise"] | None
    SPOOL_DIR: str | os.PathLike[str] | None
    MAX_SPOOL_BYTES: int | None
    MAX_DEAD_EVENTS: int | None
    HISTORY: Literal["full", "short", "off"] | None
    ALIVE_FILE: str | None
    METRICS_MAX_QUEUES: int | None
    RELAY_LISTEN: str | None
    RELAY_ACCOUNTS: list[str] | tuple[str, ...] | None
    RELAY_ACCOUNTS_FILE: str | None
    RELAY_UPSTREAM: str | None
    RELAY_GATEWAY_UPSTREAM: str | None
    RELAY_WORKERS: int | None
    RELAY_ALLOWED_ORIGINS: list[str] | tuple[str, ...] | None
    RELAY_DIAGNOSTICS: Literal["forward", "queue", "drop"] | None
    RELAY_EVENTS_PER_REQUEST: int | None
    RELAY_REQUEST_TIME_INTERVAL: float | None
    RELAY_BATCH_EVENT_DATA: str | Mapping[str, BatchEventData] | None
    CONSOLE_LISTEN: str | None
    CONSOLE_CREDENTIALS_FILE: str | None
    CONSOLE_HOSTS: list[str] | tuple[str, ...] | None
    CONSOLE_MASK: list[str] | tuple[str, ...] | None


class BatchEventData(TypedDict, total=False):
    """Batch options, by name.

    In the spelling of any of VWO's SDKs. With neither a number of events nor an interval,
    each event leaves at once. If only one is given, the other takes its default.

    events_per_request, eventsPerRequest, EventsPerRequest:
        A batch leaves when this many events wait; no batch holds more. It must be a whole number of
        events from 1 to 5000. Default: 100.
    batch_min_size, batchMinSize, BatchMinSize:
        All events that wait leave once they are this many, in batches of at most 5000. It must be a
        whole number of events from 1 to 5000. Default: 100.
    request_time_interval, requestTimeInterval, RequestTimeInterval:
        A batch leaves when its oldest event has waited this long. It must be a finite number of
        seconds, 1 or more. Default: 600.
    batch_upload_time_interval, batchUploadTimeInterval, BatchUploadTimeInterval:
        A batch leaves when its oldest event has waited this long. It must be a finite number of
        milliseconds, 1000 or more. Default: 600000.
    flush_callback, flushCallback, FlushCallback:
        Called in the worker after each attempt to send a batch, as flush_callback(error, events);
        error is None only if VWO accepted the batch. Its module must be in callback_modules. It
        must be a function at the top level of a module that the workers can import, or its import
        path such as "shop.analytics:on_flush", since it is called in a worker. Default: none.
    """

    events_per_request: int | None
    eventsPerRequest: int | None
    EventsPerRequest: int | None
    batch_min_size: int | None
    batchMinSize: int | None
    BatchMinSize: int | None
    request_time_interval: float | None
    requestTimeInterval: float | None
    RequestTimeInterval: float | None
    batch_upload_time_interval: float | None
    batchUploadTimeInterval: float | None
    BatchUploadTimeInterval: float | None
    flush_callback: str | Callback | None
    flushCallback: str | Callback | None
    FlushCallback: str | Callback | None


# -- end


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


#: Every form in which batch options may be given; see `parse_batch_event_data`.
BatchOptions: TypeAlias = BatchEventData | msgspec.Struct | _Dataclass | None


def with_settings(function: Documented) -> Documented:
    """Add the settings to what `help` shows of a function whose keyword arguments they are."""
    _append(function, SettingsArguments)
    return function


def with_options(function: Documented) -> Documented:
    """Add the batch options and the settings."""
    _append(function, BatchEventData)
    return with_settings(function)


def _append(function: Callable[..., Any], described: type) -> None:
    if function.__doc__ and described.__doc__:  # python -OO leaves no texts
        text = inspect.cleandoc(described.__doc__)
        function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n\n{text}"
