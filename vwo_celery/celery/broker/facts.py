"""Celery's broker as the doctor sees it: is it reachable, and which workers consume our tasks.

Workers are asked over Celery's remote control; one that does not answer within a
second counts as absent. No task is sent and nothing is changed, so nothing can be lost here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from celery import Celery
from celery.app.utils import find_app
from kombu.transport import TRANSPORT_ALIASES

from vwo_celery.celery.broker import tls
from vwo_celery.celery.broker.alarm import alarm_of
from vwo_celery.celery.broker.target import first_target, route_of
from vwo_celery.celery.options import DELIVER, is_accepted, shortest_limit_seconds
from vwo_celery.connections.troubles import trouble_of
from vwo_celery.errors import SettingsError
from vwo_celery.operating.doctor.broker import NO_APP, NO_BROKER, BrokerFacts
from vwo_celery.queue.servers.facts import is_cluster
from vwo_celery.settings import Settings
from vwo_celery.settings.redis_url import RedisUrl, scheme_of
from vwo_celery.text.masking import mask_url, secrets_of, without_secrets

_CONNECT_SECONDS = 2
#: Longest wait for one answer of a broker in Redis; longer than kombu's waits for a message.
_REPLY_SECONDS = 5.0
_ANSWER_SECONDS = 1.0
_REDIS, _RABBITMQ = ("redis", "rediss"), ("amqp", "amqps", "pyamqp", "pyamqps")
#: Celery's scheme for a Redis behind a socket that is a file, which is no transport of its own.
_SOCKET = "redis+socket"
#: Options of our tasks that workers are asked for.
_OPTIONS = ("serializer", "soft_time_limit", "time_limit")


def look_at_broker(settings: Settings, given: str | Celery = "") -> BrokerFacts:
    """Gather the facts about the broker; never raises.

    Args:
        settings: They name the broker and the queue of our tasks.
        given: The workers' Celery app, or its name as `celery -A` takes it; "" to guess how they
            connect.
    """
    url = settings.broker_url or settings.redis_url
    try:
        url = settings.effective_broker_url
        named = _app_of(given) if given and isinstance(given, str) else given
        apps = [named] if isinstance(named, Celery) else list(_likely_apps(settings))
        url = _url_of(apps[0]) if given else url
        return _look(apps, settings, url, app_given=bool(given))
    except (SettingsError, _NoApp) as exc:
        return BrokerFacts(
            url=mask_url(url),
            cluster=RedisUrl.parse(url).kind == "cluster",
            error=_masked(str(exc), url),
            trouble=NO_APP if isinstance(exc, _NoApp) else NO_BROKER,
        )
    except Exception as exc:
        # Any error of a transport, or of the user's app, is a fact for the operator.
        return BrokerFacts(
            url=mask_url(url),
            error=_without_secrets(exc, url),
            trouble=trouble_of(exc).word,
            has_queues=_has_queues(settings, url),
        )


class _NoApp(Exception):
    """There is no Celery app of the name that was given, or it cannot be imported."""


def _app_of(name: str) -> Any:
    try:
        return find_app(name)
    except SettingsError:  # of the ready app that it imports
        raise
    except Exception as exc:  # whatever the user's module raises
        raise _NoApp(f"there is no Celery app {name!r}: {type(exc).__name__}: {exc}") from exc


def _has_queues(settings: Settings, url: str) -> bool:
    """Whether the broker is the Redis that holds the queues."""
    ours = RedisUrl.parse(settings.redis_url)
    if url in (settings.redis_url, ours.as_broker_url()):
        return True
    theirs = RedisUrl.parse(url)
    return scheme_of(url) in _REDIS and not ours.kind and ours.addresses == theirs.addresses


def _url_of(app: Celery) -> str:
    return str(app.connection_for_read().as_uri(include_password=True))


def _look(apps: list[Celery], settings: Settings, url: str, *, app_given: bool) -> BrokerFacts:
    masked, scheme = mask_url(url), scheme_of(url)
    scheme = "redis" if scheme == _SOCKET else scheme
    if scheme not in TRANSPORT_ALIASES:
        return BrokerFacts(url=masked, error=f"Celery knows no transport {scheme!r}")
    if scheme not in (*_REDIS, *_RABBITMQ) and not app_given:
        return BrokerFacts(url=masked, unchecked=f"name your Celery app with --app to try {scheme}")
    if _connect(apps[0], is_redis=scheme in _REDIS) == "cluster":
        return BrokerFacts(url=masked, cluster=True)
    if alarm := alarm_of(apps[0], _CONNECT_SECONDS):
        return BrokerFacts(url=masked, blocked=alarm)
    # What an app of the fleet's says of TLS to RabbitMQ stands in no URL.
    gap = tls.gap_in_tls(apps[0]) if app_given or scheme in _REDIS else tls.Gap()
    facts = _ask(apps, settings, masked, route_of(apps[0]) if app_given else "")
    return msgspec.structs.replace(facts, gap=gap)


def _likely_apps(settings: Settings) -> Iterator[Celery]:
    """Apps that connect as `vwo_celery.celery.app` does, with its key prefix, and as plain ones do."""
    scheme = scheme_of(settings.effective_broker_url)
    scheme = "redis" if scheme == _SOCKET else scheme
    for prefix in (f"{settings.namespace}:broker:", "") if scheme in _REDIS else ("",):
        app = Celery(
            "vwo_celery_doctor", broker=settings.effective_broker_url, set_as_current=False
        )
        app.conf.broker_connection_timeout = _CONNECT_SECONDS
        if scheme in _REDIS:
            app.conf.broker_transport_options = {
                "socket_connect_timeout": _CONNECT_SECONDS,
                "socket_timeout": _REPLY_SECONDS,
                "global_keyprefix": prefix,
            }
        yield app


def _connect(app: Celery, *, is_redis: bool) -> str:
    """Connect to the broker; return "cluster" if it is a Redis Cluster."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
        channel: Any = connection.default_channel  # reading it connects to Redis
        return "cluster" if is_redis and is_cluster(channel.client) else ""


def _ask(apps: list[Celery], settings: Settings, masked: str, route: str) -> BrokerFacts:
    """Ask the workers of *apps* which queues they consume, and how they would run our tasks."""
    consumed: dict[str, set[str]] = {}
    tasks: dict[str, dict[str, str]] = {}
    configurations: dict[str, dict[str, Any]] = {}
    for app in apps:
        inspect = app.control.inspect(timeout=_ANSWER_SECONDS)
        queues: dict[str, list[Any]] = inspect.active_queues() or {}
        if not queues:
            continue  # further questions would wait in vain, too
        consumed |= {worker: {queue["name"] for queue in those} for worker, those in queues.items()}
        registered = inspect.registered(*_OPTIONS) or {}
        tasks |= {worker: _deliver_options(those) for worker, those in registered.items()}
        configurations |= inspect.conf() or {}
    target: str | None = settings.celery_queue or route
    target = target or first_target(configurations, lambda worker: bool(tasks.get(worker)))
    if target is None:  # a function decides: whoever knows our tasks and consumes counts
        ours = [worker for worker in consumed if tasks.get(worker)]
        return BrokerFacts(url=masked, workers=tuple(sorted(consumed)), consumers=tuple(ours))
    return _facts(masked, target, settings, consumed, tasks, configurations)


def _deliver_options(registered: list[str]) -> dict[str, str]:
    """Options of `deliver` among the tasks that a worker knows; empty if it does not know it."""
    for line in registered:  # "NAME [OPTION=VALUE OPTION=VALUE]"; without options the name alone
        name, _, options = line.partition(" ")
        if name == DELIVER:
            pairs = (pair.partition("=") for pair in options.strip("[]").split())
            return {"name": name, **{option: value for option, _, value in pairs}}
    return {}


def _facts(
    masked: str,
    target: str,
    settings: Settings,
    consumed: dict[str, set[str]],
    tasks: dict[str, dict[str, str]],
    configurations: dict[str, dict[str, Any]],
) -> BrokerFacts:
    """The facts about the queue *target*, from what each worker consumes, knows and is set to."""
    consumers = sorted(worker for worker, queues in consumed.items() if target in queues)
    ours = [worker for worker in consumers if tasks.get(worker)]
    accepted = {worker: _accepted(configurations.get(worker, {})) for worker in ours}
    sent = {tasks[worker].get("serializer", "json") for worker in ours}
    return BrokerFacts(
        url=masked,
        queue=target,
        workers=tuple(sorted(consumed)),
        consumers=tuple(consumers),
        strangers=tuple(n for n in consumers if n in tasks and not tasks[n]),
        hasty={
            worker: limit
            for worker in ours
            if (limit := _limit_seconds(tasks[worker], configurations.get(worker, {})))
            < shortest_limit_seconds(settings)
        },
        refusing=tuple(
            worker
            for worker, types in accepted.items()
            if not all(is_accepted(serializer, types) for serializer in sent)
        ),
    )


def _limit_seconds(options: dict[str, str], configuration: dict[str, Any]) -> float:
    """The time limit under which a worker runs `deliver`: the task's own, else the project's."""
    limits = []
    for option in ("soft_time_limit", "time_limit"):
        given = options.get(option) or configuration.get(f"task_{option}")
        limits.append(float(given) if given else math.inf)
    return min(limits)


def _accepted(configuration: dict[str, Any]) -> list[str]:
    given = configuration.get("accept_content")
    return [str(each) for each in given] if isinstance(given, list | tuple) else ["json"]


def _without_secrets(exc: Exception, url: str) -> str:
    return _masked(f"{type(exc).__name__}: {exc}", url)


def _masked(text: str, url: str) -> str:
    text = text.replace(url, mask_url(url))
    return without_secrets(text, dict.fromkeys(secrets_of(url), "…"))
