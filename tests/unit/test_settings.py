"""Settings: three places to set them, one range each, and errors that name the place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.conf import LazySettings

from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings, describe
from vwo_celery.settings.sources import environment_variable

NAMES = Settings.__struct_fields__
NAN, INFINITY = float("nan"), float("inf")
FOLDER = "/home/someone/.local/state"

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
    "spool_dir": f"{FOLDER}/vwo-celery",
    "max_spool_bytes": 256 * 1024**2,
    "max_dead_events": 100_000,
    "history": "full",
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


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours, no Django, and a known home."""
    for name in NAMES:
        monkeypatch.delenv(environment_variable(name), raising=False)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


Django = Callable[[Any], None]


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> Iterator[Django]:
    """Configure Django with the given VWO_CELERY."""

    def configure(options: Any) -> None:
        settings = LazySettings()
        settings.configure(VWO_CELERY=options)
        monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))

    return configure  # type: ignore[return-value]


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


def test_arguments_win_over_django_and_django_over_the_environment(
    django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments override Django, and Django overrides the environment; None counts as not given."""
    for name in ("shards", "max_parallel_sends", "max_lost_leases"):
        monkeypatch.setenv(environment_variable(name), "2")
    django({"shards": 3, "max_parallel_sends": 3, "max_lost_leases": None})

    settings = Settings.load(shards=4, max_parallel_sends=None)

    assert (settings.shards, settings.max_parallel_sends, settings.max_lost_leases) == (4, 3, 2)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_django_that_is_not_configured_is_left_alone(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Django that is installed or imported, but not configured, stays so."""
    if loaded:
        conf = SimpleNamespace(settings=LazySettings())
        monkeypatch.setitem(sys.modules, "django.conf", conf)

    assert Settings.load() == Settings()


def test_a_django_without_our_setting_gives_nothing(django: Django) -> None:
    """VWO_CELERY may be None as well as missing."""
    django(None)

    assert Settings.load() == Settings()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as Compose files pass it, is not set, except the spool's folder."""
    for name in NAMES:
        monkeypatch.setenv(environment_variable(name), " ")

    assert msgspec.structs.asdict(Settings.load()) == {**DEFAULTS, "spool_dir": ""}


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


SECRETS = [
    "redis://:hunter2@host/0",
    "redis://user:hunter2@host/0",
    "rediss://user:hunt@er2:hunter2@host",
    "redis://host/0?password=hunter2",
    "redis+sentinel://:hunter2@a,b/mymaster?sentinel_password=hunter2",
    "unix://:hunter2@/run/redis.sock",
    "redis://:\nhunter2@host",
]
#: Of these URLs, urllib takes half of the password for a port, a path or a fragment, and quotes it.
UNREADABLE = [
    "redis://:hunter/2hunter2@host",
    "redis://user:hunter2/hunter2@host:6379/0",
    "redis://:hunter2#hunter2@host:6379/0",
    "redis://:hunter2?hunter2@host:6379/0",
    "redis://:1234/hunter2@host:6379/0",
    "redis://[user:hunter2@host:6379/0",
    "redis://user:hunter2@host:port/0",
    "redis://user:hunter2@host:65536/0",
    "redis://user:hunter2@host,other/0",
    "redis://user:hunter2@host/zero",
    "redis+sentinel://:hunter2/hunter2@a,b/mymaster",
    "redis+sentinel://:hunter2@a:x,b/mymaster",
    "redis+sentinel://:hunter2@a,b/mymaster/zero",
    "redis+cluster://:hunter2/hunter2@host",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_refused_before_any_library_sees_it(url: str) -> None:
    """The error names the fault and the right form, and contains nothing of the password."""
    with pytest.raises(SettingsError) as wrong:
        Settings.load(redis_url=url)

    assert str(wrong.value).startswith("redis_url cannot be used; a URL that begins with redis")
    assert "percent-encode" in str(wrong.value)
    assert "hunter" not in str(wrong.value)
    assert wrong.value.__suppress_context__ or wrong.value.__context__ is None


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_never_shows(url: str) -> None:
    """A password is in no repr, no rich output, and no error about the URL or another setting."""
    settings = Settings(redis_url=url, broker_url=url)
    wrong_url = url.replace("redis", "http").replace("unix", "http")

    texts = [repr(settings), str(settings), repr(list(settings.__rich_repr__()))]
    for given in (
        {"redis_url": wrong_url},
        {"redis_url": url, "shards": 0},
        {"namespace": url},
    ):
        with pytest.raises(SettingsError) as wrong:
            Settings.load(**given)
        texts.append(str(wrong.value))

    assert [text for text in texts if "hunter2" in text or "hunt@" in text] == []
    assert settings.redis_url == url


@pytest.mark.parametrize("wrong", ["888888=sec ret", "sec ret=888888", "1=a,sec ret"])
def test_a_key_never_shows(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SDK key of the relay is in a repr, nor in an error about it, wherever it was written."""
    settings = Settings(relay_accounts=("888888=sec-ret",))
    texts = [repr(settings), repr(list(settings.__rich_repr__()))]

    for give in (lambda: Settings(relay_accounts=[wrong]), Settings.load):  # type: ignore[arg-type]
        monkeypatch.setenv("VWO_CELERY_RELAY_ACCOUNTS", wrong)
        with pytest.raises(SettingsError) as error:
            give()
        texts.append(str(error.value))

    assert [text for text in texts if "ret" in text.replace("secret", "")] == []
    assert "'888888=…'" in texts[0]


def test_what_is_written_in_several_forms_is_kept_in_one() -> None:
    """Values have one form: hosts in lower case, ~ expanded, a path as text, seconds as floats."""
    settings = Settings(
        allowed_hosts=["A.Example:8443"],  # type: ignore[arg-type]
        spool_dir="~/spool",
        lease_seconds=90,
    )

    assert settings.allowed_hosts == ("a.example:8443",)
    assert settings.spool_dir == "/home/someone/spool"
    assert Settings.load(spool_dir=Path("/spool")).spool_dir == "/spool"
    assert isinstance(settings.lease_seconds, float)


@pytest.mark.parametrize("folder", ["~/spool", "~nobody-of-this-name/spool"])
def test_a_home_that_is_not_known_is_an_error(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ without a home is never taken for the name of a folder, nor for the root folder."""
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    with pytest.raises(SettingsError, match="knows no such home: write the whole path") as wrong:
        Settings.load(spool_dir=folder)

    assert f"spool_dir must be {describe('spool_dir').expected}; {folder!r} was" in str(wrong.value)
    assert Settings.load().spool_dir == ""


@pytest.mark.parametrize(
    ("state_home", "folder"),
    [("/state", "/state/vwo-celery"), ("relative", f"{FOLDER}/vwo-celery")],
)
def test_the_spool_is_in_the_users_state_folder(
    state_home: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool is in XDG_STATE_HOME; a relative path there is ignored, as its specification demands."""
    monkeypatch.setenv("XDG_STATE_HOME", state_home)

    assert Settings().spool_dir == folder


def test_settings_are_frozen_and_hashable() -> None:
    """Equal settings are one key of a dict, and cannot be changed."""
    settings = Settings(allowed_hosts=["a"])  # type: ignore[arg-type]

    assert {settings: 1}[Settings.load(allowed_hosts=("A",))] == 1
    with pytest.raises(AttributeError):
        settings.shards = 2  # type: ignore[misc]


def test_celerys_broker_is_redis_unless_told() -> None:
    """One URL serves the usual installation: Celery's broker is the queue's Redis by default."""
    assert Settings(redis_url="redis://one").effective_broker_url == "redis://one"
    assert Settings(broker_url="amqp://mq").effective_broker_url == "amqp://mq"


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
