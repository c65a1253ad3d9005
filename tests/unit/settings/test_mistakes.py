"""A mistake in the settings is an error that names setting, range, value and place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings, describe
from vwo_celery.settings.sources import environment_variable

Django = Callable[[Any], None]
NAN, INFINITY = float("nan"), float("inf")
WRONG: list[tuple[str, Any]] = [
    ("redis_url", "http://localhost"),
    ("redis_url", "localhost:6379"),
    ("redis_url", "sentinel://localhost"),
    ("redis_url", ""),
    ("redis_url", b"redis://localhost"),
    ("broker_url", "rabbit"),
    ("namespace", ""),
    ("namespace", "a:b"),
    ("namespace", "a{b"),
    ("namespace", "a\n"),
    ("namespace", "x" * 65),
    ("celery_queue", "x" * 256),
    ("celery_queue", 1),
    ("allowed_hosts", "a.example"),
    ("allowed_hosts", ["https://a.example"]),
    ("allowed_hosts", ["a.example/path"]),
    ("allowed_hosts", ["user@a.example"]),
    ("allowed_hosts", [1]),
    ("callback_modules", ["shop:analytics"]),
    ("callback_modules", ["shop..analytics"]),
    ("sweep_interval_seconds", 0),
    ("sweep_interval_seconds", 3600.1),
    ("enqueue_timeout_seconds", 0),
    ("enqueue_timeout_seconds", "1"),
    ("request_timeout_seconds", NAN),
    ("lease_seconds", INFINITY),
    ("lease_seconds", -INFINITY),
    ("lease_seconds", 10**400),
    ("backoff_base_seconds", -1),
    ("backoff_max_seconds", True),
    ("max_parallel_sends", 0),
    ("max_parallel_sends", 1.5),
    ("max_parallel_sends", 8.0),
    ("max_parallel_sends", True),
    ("circuit_failures", 0),
    ("max_batch_age_seconds", 0),
    ("max_lost_leases", 0),
    ("wait_replicas", 11),
    ("wait_replicas", -1),
    ("shards", 65),
    ("max_queue_events", 0),
    ("max_queue_bytes", 999),
    ("log_format", "logfmt"),
    ("when_full", "drop"),
    ("when_full", []),
    ("spool_dir", "relative/folder"),
    ("max_spool_bytes", 1),
    ("max_dead_events", -1),
    ("history", "long"),
    ("alive_file", "relative"),
    ("metrics_max_queues", 0),
    ("relay_listen", "127.0.0.1"),
    ("relay_listen", "127.0.0.1:http"),
    ("relay_accounts", ["888888"]),
    ("relay_accounts", ["shop=KEY"]),
    ("relay_accounts", ["888888=two words"]),
    ("relay_upstream", "gateway.example"),
    ("relay_gateway_upstream", "gateway:3000"),
    ("relay_workers", 0),
    ("relay_allowed_origins", ["shop.example"]),
    ("relay_allowed_origins", ["https://shop.example/path"]),
    ("relay_diagnostics", "store"),
    ("relay_events_per_request", 5001),
    ("relay_request_time_interval", 0),
    ("relay_batch_event_data", "100"),
    ("relay_batch_event_data", "{"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_an_error_that_says_all(name: str, value: Any) -> None:
    """The error names the setting, its range, the given value and its source."""
    for make in (Settings, Settings.load):
        with pytest.raises(SettingsError) as wrong:
            make(**{name: value})

        text = str(wrong.value)
        assert text.startswith(f"{name} must be {describe(name).expected}; ")
        assert "was given (argument)" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shards", "many"),
        ("shards", "0"),
        ("shards", "1.5"),
        ("shards", "true"),
        ("lease_seconds", "nan"),
        ("lease_seconds", "inf"),
        ("lease_seconds", "1 minute"),
        ("lease_seconds", "null"),
        ("allowed_hosts", "a.example,b example"),
        ("when_full", "SPOOL"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable's text is read leniently, but within the same range."""
    monkeypatch.setenv(environment_variable(name), text)

    with pytest.raises(SettingsError) as wrong:
        Settings.load()

    ending = f"{text!r} was given (environment variable {environment_variable(name)})"
    assert str(wrong.value) == f"{name} must be {describe(name).expected}; {ending}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"LEASE_SECONDS": "90"}, ["'90' was given (VWO_CELERY['LEASE_SECONDS'] of Django's"]),
        ({"eventsPerRequest": 9}, ["'eventsPerRequest', it is an option of batch_event_data"]),
        ({"leas_seconds": 90}, ["no setting 'leas_seconds' (did you mean 'lease_seconds'?)"]),
        ({"Lease_Seconds": 90}, ["no setting 'Lease_Seconds'"]),
        ({1: 90}, ["no setting 1", "VWO_CELERY[1] of Django's settings"]),
        ({"shards": 2, "SHARDS": 3}, ["shards is given twice"]),
        ("redis://", ["VWO_CELERY in Django's settings must be a dict; an object of type str was"]),
    ],
)
def test_a_wrong_setting_of_django_is_named(options: Any, told: list[str], django: Django) -> None:
    """Django's dict is read strictly: types, names and one spelling."""
    django(options)

    with pytest.raises(SettingsError) as wrong:
        Settings.load()

    assert [part for part in told if part not in str(wrong.value)] == []


def test_an_unknown_argument_is_an_error_with_the_nearest_name() -> None:
    """A misspelt setting is an error with the nearest name, never silently ignored."""
    with pytest.raises(SettingsError, match=r"no setting 'shard' \(did you mean 'shards'\?\)"):
        Settings.load(shard=2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"lease_seconds": 20},
            "lease_seconds must exceed request_timeout_seconds, or a batch could be taken over "
            "while it is being sent; 20 and 20 were given (lease_seconds: argument)",
        ),
        (
            {"backoff_base_seconds": 301},
            "backoff_max_seconds must not be under backoff_base_seconds; 300 and 301 were given "
            "(backoff_base_seconds: argument)",
        ),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], told: str) -> None:
    """Valid values may contradict each other; the error names both, and their sources."""
    with pytest.raises(SettingsError) as wrong:
        Settings.load(**given)

    assert str(wrong.value) == told
    with pytest.raises(SettingsError):
        Settings(**given)


@pytest.mark.parametrize("folder", ["~/spool", "~nobody-of-this-name/spool"])
def test_a_home_that_is_not_known_is_an_error(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ without a home is never taken for the name of a folder, nor for the root folder."""
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    with pytest.raises(SettingsError, match="knows no such home: write the whole path") as wrong:
        Settings.load(spool_dir=folder)

    assert f"spool_dir must be {describe('spool_dir').expected}; {folder!r} was" in str(wrong.value)
    assert Settings.load().spool_dir == ""
