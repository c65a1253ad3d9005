"""Batch options of relayed events by account: every spelling of every SDK, in each place for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vwo_celery.errors import SettingsError
from vwo_celery.relay import Access, relay_app
from vwo_celery.settings import BatchSettings, Settings
from vwo_celery.settings.relay_batches import OUTER_SPELLINGS, read_relay_batches

#: Both options as each of VWO's pages on batching spells them: FME (Ruby, Python, PHP), server-side SDKs
#: (.NET; Node and Java), Android.
OF_EACH_SDK = [
    ("events_per_request", "request_time_interval", 60),
    ("EventsPerRequest", "RequestTimeInterval", 60),
    ("eventsPerRequest", "requestTimeInterval", 60),
    ("batchMinSize", "batchUploadTimeInterval", 60_000),
]
CALLBACKS = ["flush_callback", "FlushCallback", "flushCallback"]
DEFAULTS = BatchSettings(100, 600.0)


def in_setting(options: Any, _: Path) -> BatchSettings:
    """As a mapping in the settings."""
    text = Settings(relay_batch_event_data={"7": options}).relay_batch_event_data  # type: ignore[arg-type]
    return read_relay_batches(text, "")["7"]


def in_variable(options: Any, _: Path) -> BatchSettings:
    """As JSON text, which an environment variable holds."""
    text = Settings(relay_batch_event_data=json.dumps({"7": options})).relay_batch_event_data
    return read_relay_batches(text, "")["7"]


def in_accounts(options: Any, _: Path) -> BatchSettings | None:
    """With the accounts of an application of one's own."""
    return Access({"7": {"keys": ["k"], "batch_event_data": options}}).batch_of("7")


def in_file(options: Any, file: Path) -> BatchSettings | None:
    """In the file of accounts."""
    file.write_text(json.dumps({"7": {"keys": ["k"], "batchEventData": options}}))
    return Access(None, str(file)).batch_of("7")


PLACES = [in_setting, in_variable, in_accounts, in_file]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("size", "interval", "minute"), OF_EACH_SDK)
def test_every_spelling_means_the_same(
    size: str, interval: str, minute: int, place: Any, tmp_path: Path
) -> None:
    """Both options, or one, whose other takes the vendor's default."""
    file = tmp_path / "accounts"
    is_least = size == "batchMinSize"

    assert place({size: 500, interval: minute}, file) == BatchSettings(500, 60.0, "", is_least)
    assert place({size: 500}, file) == BatchSettings(500, 600.0, "", is_least)
    assert place({interval: minute}, file) == BatchSettings(100, 60.0)
    assert place({size: None, interval: minute}, file) == BatchSettings(100, 60.0)


@pytest.mark.parametrize("place", PLACES)
def test_options_without_a_number_mean_real_time(place: Any, tmp_path: Path) -> None:
    """As in the SDKs, each event then leaves at once."""
    assert place({}, tmp_path / "accounts") == BatchSettings(1, 600.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("value", ["shop.analytics:on_flush", None])
def test_a_callback_is_refused(name: str, value: Any, place: Any, tmp_path: Path) -> None:
    """Nobody could call it; the error says what there is instead."""
    with pytest.raises(SettingsError, match=f"{name} cannot be given for relayed events.*signals"):
        place({"eventsPerRequest": 5, name: value}, tmp_path / "accounts")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"eventsPerRequest": 5001},
            "eventsPerRequest must be a whole number of events from 1 to 5000",
        ),
        ({"batchUploadTimeInterval": 60}, "finite number of milliseconds, 1000 or more; 60"),
        ({"batchMinSise": 5}, "there is no option 'batchMinSise' (did you mean 'batchMinSize'?)"),
        ({"batchMinSize": 5, "eventsPerRequest": 6}, "one option in two spellings, and disagree"),
        (5, "it must be a dict or a struct of options; 5"),
    ],
)
def test_what_is_wrong_is_no_default(options: Any, told: str, place: Any, tmp_path: Path) -> None:
    """A slip stops the relay from starting, and says what and where."""
    with pytest.raises(SettingsError) as wrong:
        place(options, tmp_path / "accounts")

    assert told in str(wrong.value)
    assert "account" in str(wrong.value)


@pytest.mark.parametrize("name", OUTER_SPELLINGS)
def test_the_option_itself_has_each_sdks_name(name: str) -> None:
    """Such as `batchData` of Node, or `BatchEventData` of .NET."""
    access = Access({7: {"keys": "k", name: {"batchMinSize": 5}}})

    assert access.batch_of("7") == BatchSettings(5, 600.0, is_least=True)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (
            {"keys": ["k"], "batchEventDate": {}},
            "no 'batchEventDate' (did you mean 'batchEventData'?)",
        ),
        ({"keys": ["k"], "batchData": {}, "batchEventData": {}}, "one option in two spellings"),
        ({"keys": ["k"], "batch_event_data": 5}, "must be a dict or a struct of options"),
    ],
)
def test_an_entry_with_another_name_is_refused(form: Any, told: str) -> None:
    """Else a slip would hold events back for ten minutes unseen."""
    with pytest.raises(SettingsError) as wrong:
        Access({"7": form})

    assert told in str(wrong.value)


@pytest.mark.parametrize(
    "text", ["[]", "5", '{"shop": {}}', '{"": {}}', "{1: {}}", '{"٧": {}}', "[" * 9999]
)
def test_text_that_is_no_list_of_accounts(text: str) -> None:
    """The error has an example."""
    with pytest.raises(SettingsError, match=r'"888888": \{"batchMinSize": 500'):
        Settings(relay_batch_event_data=text)


class _Options(msgspec.Struct):
    events_per_request: int = 5
    flush_callback: str = "shop.analytics:on_flush"


@pytest.mark.parametrize("given", [{"FlushCallback": print}, _Options()])
def test_an_application_of_ones_own_gives_no_callback_either(given: Any) -> None:
    """Neither in a mapping nor in a struct."""
    with pytest.raises(SettingsError, match="cannot be given for relayed events"):
        relay_app(accounts={"7": ["k"]}, batch_event_data=given)


def test_the_nearest_options_count(tmp_path: Path) -> None:
    """Those of the file come first, then those of the settings, then the relay's own."""
    file = tmp_path / "accounts"
    file.write_text(
        json.dumps({"1": {"keys": ["k"], "batchData": {"batchMinSize": 3}}, "2": ["k"]})
    )
    settings = Settings(
        relay_accounts=("3=k",), relay_accounts_file=str(file), relay_events_per_request=7,
        relay_batch_event_data='{"1": {"batchMinSize": 4}, "2": {"batchMinSize": 5}}',
    )  # fmt: skip

    app = relay_app(settings=settings)

    assert {name: each.events_per_request for name, each in app.batches().items()} == {
        "": 7, "1": 3, "2": 5,
    }  # fmt: skip


@pytest.mark.parametrize("accounts", [["7=SECRET"], []])
def test_accounts_that_are_no_mapping_are_refused(accounts: Any) -> None:
    """A list, as the setting takes one, is refused with the form that is meant, and shows no key."""
    with pytest.raises(
        SettingsError, match=r"accounts must be a mapping such as \{ACCOUNT"
    ) as told:
        Access(accounts)

    assert "SECRET" not in str(told.value)
