"""An FME SDK that lacks a part that attach or init needs: refused, and nothing is changed."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from importlib.util import find_spec

from sdk import mutilated
from sdk.fme.conftest import BRAND, PACKAGE

#: Everything of the SDK that attach reads or replaces, by the object that has it.
PARTS = {
    "client": [
        "options", "original_settings", "batch_event_queue", "get_instance", "get_flag",
        "flush_events",
    ],
    "settings manager": [
        "account_id", "sdk_key", "is_gateway_service_provided", "protocol", "hostname", "port",
    ],
    "batch_event_queue": [
        "enqueue", "flush_and_clear_timer", "create_new_batch_timer", "events_per_request",
        "request_time_interval", "flush_callback", "batch_queue", "lock", "timer",
    ],
    "SettingsManager": ["get_instance"],
    "Constants": ["SDK_VERSION"],
    "module services.settings_manager": ["SettingsManager"],
    "module constants.Constants": ["Constants"],
    "module services.batch_event_queue": ["BatchEventQueue"],
}  # fmt: skip
if find_spec("wingify"):
    PARTS["settings manager"].append("sdk_name")
else:
    PARTS["Constants"].append("SDK_NAME")
#: What init needs as well, before the SDK starts.
BUILDER_PARTS = ["build", "init_batching", "check_and_poll"]

_SDK = (
    inspect.getsource(mutilated).replace("from __future__ import annotations", "")
    + """
from importlib import import_module
sdk = import_module(F["brand"])

def errors_without(parts, holders, make):
    errors = {}
    for owner, names in parts.items():
        for name in names:
            with without(holders[owner], name):
                try:
                    make()
                except vwo_celery.errors.SdkError as exc:
                    errors[f"{owner} {name}"] = str(exc)
    return errors

"""
)
_CLIENT = """
client = sdk.init(OPTIONS)
client.track_event("purchase", USER)
own, core = client.batch_event_queue, type(client).__module__.partition(".")[0]
modules = {
    f"module {name}": import_module(f"{core}.{name}")
    for name in ("services.settings_manager", "constants.Constants", "services.batch_event_queue")
}
manager_class = modules["module services.settings_manager"].SettingsManager
holders = {
    "client": client, "batch_event_queue": own, "SettingsManager": manager_class,
    "settings manager": manager_class.get_instance(),
    "Constants": modules["module constants.Constants"].Constants, **modules,
}

def state():
    # A failed attach makes the timers daemons, which is all that it may change.
    return {**vars(client)}, {**vars(own), "timer": None}, [*own.batch_queue], client.flush_events

before = state()
errors = errors_without(
    F["parts"], holders, lambda: vwo_celery.attach(client, redis_url=REDIS_URL)
)
tell(errors=errors, unchanged=state() == before, held=len(own.batch_queue))
"""


def test_a_missing_part_is_named_and_the_client_stays_as_it_was(
    application, standin, worker, declared_keys
):
    """The error names release, part and remedy; whole again, the client is attached with its event."""
    declared_keys("watched")

    told = application(
        _SDK, _CLIENT,
        """
        queue = vwo_celery.attach(client, redis_url=REDIS_URL)
        tell(whole=bool(client.flush_events()))
        """,
        options={"batch_event_data": {"request_time_interval": 600}}, parts=PARTS, brand=BRAND,
    )  # fmt: skip

    errors = told.facts.pop("errors")
    assert told.facts == {"unchanged": True, "held": 1, "whole": True}
    assert set(errors) == {f"{owner} {name}" for owner, names in PARTS.items() for name in names}
    for part, error in errors.items():
        for said in (f"{PACKAGE} {version(PACKAGE)}", "pip install"):
            assert said in error
        assert part.split()[-1].lower() in error.lower()
    assert [len(batch.events) for batch in standin.batches] == [1]


def test_init_refuses_before_the_sdk_starts(application, standin):
    """What classes lack is found without a client: no thread, no request."""
    told = application(
        _SDK,
        """
        import threading
        made = vwo_celery.sdk.builder(OPTIONS)
        errors = errors_without(
            {"builder": F["parts"]}, {"builder": type(made).__mro__[2]},
            lambda: vwo_celery.init(OPTIONS, brand=F["brand"], redis_url=REDIS_URL),
        )
        tell(errors=errors, threads=threading.active_count())
        """,
        parts=BUILDER_PARTS,
        brand=BRAND,
    )

    errors = told.facts["errors"]
    assert told.facts["threads"] == 1
    assert set(errors) == {f"builder {name}" for name in BUILDER_PARTS}
    assert all(f"{PACKAGE} {version(PACKAGE)}" in error for error in errors.values())
    assert standin.requests == []


def test_init_of_a_release_that_asks_no_builder_is_an_error(application, standin):
    """A client that the SDK made by itself is never returned as if it were on the shared queue."""
    told = application(
        _SDK,
        """
        init = sdk.init
        sdk.init = lambda options: init(
            {name: value for name, value in options.items() if name != "vwoBuilder"}
        )
        try:
            vwo_celery.init(OPTIONS, brand=F["brand"], redis_url=REDIS_URL)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc))
        """,
        brand=BRAND,
    )

    assert "without the builder that it was given" in told.facts["error"]
    assert standin.batches == []
