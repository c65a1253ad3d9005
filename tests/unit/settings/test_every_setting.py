"""Each setting by itself: its default, its value from each place, and how it describes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from vwo_celery.settings import Settings, describe
from vwo_celery.settings.sources import environment_variable

Django = Callable[[Any], None]
NAMES = Settings.__struct_fields__
#: Documented default of each setting.
DEFAULTS: dict[str, Any] = {
    "redis_url": "redis://localhost:6379/0",
    "broker_url": "",
    "namespace": "vwo",
    "celery_queue": "",
    "allowed_hosts": (),
    "callback_modules": (),
    "log_format": "text",
    "sweep_interval_seconds": 1,
    "enqueue_timeout_seconds": 0.25,
    "request_timeout_seconds": 20,
    "lease_seconds": 60,
    "backoff_base_seconds": 1,
    "backoff_max_seconds": 300,
    "max_parallel_sends": 8,
    "circuit_failures": 5,
    "max_batch_age_seconds": 604_800,
    "max_lost_leases": 10,
    "wait_replicas": 0,
    "shards": 1,
    "max_queue_events": 1_000_000,
    "max_queue_bytes": 1024**3,
    "when_full": "spool",
    "spool_dir": "/home/someone/.local/state/vwo-celery",
    "max_spool_bytes": 256 * 1024**2,
    "max_dead_events": 100_000,
    "history": "full",
    "alive_file": "",
    "metrics_max_queues": 100,
    "relay_listen": "127.0.0.1:8099",
    "relay_accounts": (),
    "relay_accounts_file": "",
    "relay_upstream": "",
    "relay_gateway_upstream": "",
    "relay_workers": 1,
    "relay_allowed_origins": (),
    "relay_diagnostics": "forward",
    "relay_events_per_request": 100,
    "relay_request_time_interval": 600,
    "relay_batch_event_data": "",
    "console_listen": "127.0.0.1:8000",
    "console_credentials_file": "",
    "console_hosts": (),
    "console_mask": (),
}
#: Another valid value of each setting, and its text in the environment.
CHANGED: dict[str, tuple[Any, str]] = {
    "redis_url": ("rediss://cache:6380/1", "rediss://cache:6380/1"),
    "broker_url": ("amqp://mq", "amqp://mq"),
    "namespace": ("shop.v-2_x", "shop.v-2_x"),
    "celery_queue": ("events", "events"),
    "allowed_hosts": (("a.example", "[::1]:8443"), "a.example, [::1]:8443,"),
    "callback_modules": (("shop.analytics",), "shop.analytics"),
    "log_format": ("json", "json"),
    "sweep_interval_seconds": (0.5, "0.5"),
    "enqueue_timeout_seconds": (1.0, "1"),
    "request_timeout_seconds": (5.0, " 5 "),
    "lease_seconds": (90.0, "90"),
    "backoff_base_seconds": (2.0, "2"),
    "backoff_max_seconds": (60.0, "6e1"),
    "max_parallel_sends": (32, "32"),
    "circuit_failures": (3, "3"),
    "max_batch_age_seconds": (3600.0, "3600"),
    "max_lost_leases": (3, "3"),
    "wait_replicas": (2, "2"),
    "shards": (4, "4"),
    "max_queue_events": (10, "10"),
    "max_queue_bytes": (1_000, "1000"),
    "when_full": ("raise", "raise"),
    "spool_dir": ("/var/spool/vwo", "/var/spool/vwo"),
    "max_spool_bytes": (1_000_000, "1000000"),
    "max_dead_events": (0, "0"),
    "history": ("short", "short"),
    "alive_file": ("/run/vwo/alive", "/run/vwo/alive"),
    "metrics_max_queues": (7, "7"),
    "relay_listen": ("[::1]:8098", "[::1]:8098"),
    "relay_accounts": (("1=a", "1=*"), "1=a, 1=*,"),
    "relay_accounts_file": ("/etc/relay", "/etc/relay"),
    "relay_upstream": ("https://gateway.example", "https://gateway.example"),
    "relay_gateway_upstream": ("http://gateway:3000", "http://gateway:3000"),
    "relay_workers": (2, "2"),
    "relay_allowed_origins": (("https://a.example", "*"), "https://a.example,*"),
    "relay_diagnostics": ("queue", "queue"),
    "relay_events_per_request": (500, "500"),
    "relay_request_time_interval": (60.0, "60"),
    "relay_batch_event_data": ('{"1": {"batchMinSize": 5}}', '{"1": {"batchMinSize": 5}}'),
    "console_listen": ("[::1]:8001", "[::1]:8001"),
    "console_credentials_file": ("/etc/console", "/etc/console"),
    "console_hosts": (("ops.example", "ops"), "ops.example, ops"),
    "console_mask": (("uuid", "visId"), "uuid,visId"),
}


def test_defaults() -> None:
    """Without any setting, each has its documented default."""
    assert msgspec.structs.asdict(Settings()) == DEFAULTS
    assert Settings.load() == Settings()


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_can_be_given_in_each_place(
    name: str, django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument, Django in either case and environment lead to the same value."""
    value, text = CHANGED[name]
    loaded = [Settings.load(**{name: value}), Settings(**{name: value})]

    for key in (name, name.upper()):
        django({key: value})
        loaded.append(Settings.load())
    django({})
    monkeypatch.setenv(environment_variable(name), text)
    loaded.append(Settings.load())

    assert [getattr(each, name) for each in loaded] == [value] * len(loaded)
    assert len({type(getattr(each, name)) for each in loaded}) == 1


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as Compose files pass it, is not set, except the spool's folder."""
    for name in NAMES:
        monkeypatch.setenv(environment_variable(name), " ")

    assert msgspec.structs.asdict(Settings.load()) == {**DEFAULTS, "spool_dir": ""}


def test_each_setting_describes_itself() -> None:
    """Every field has a range and a meaning; a number has a unit, which ends its name."""
    for name, default in DEFAULTS.items():
        told = describe(name)

        assert told.range, name
        assert told.meaning.endswith("."), name
        assert bool(told.unit) == isinstance(default, int | float), name
        if name.endswith(("_seconds", "_bytes", "_events")):
            assert name.endswith(f"_{told.unit}")


def test_the_tables_of_this_test_are_complete() -> None:
    """A new setting has to be added here, with its default and another value."""
    assert set(DEFAULTS) == set(CHANGED) == set(NAMES)
