"""attach on a running FME client: where its events will go, in which batches, and when it raises."""

from __future__ import annotations

import pytest

from sdk.fme.attached import names

pytestmark = pytest.mark.declared_keys("watched")


@pytest.mark.parametrize(
    ("brand", "origin"),
    [("vwo", "https://dev.visualwebsiteoptimizer.com"), ("wingify", "https://collect.wingify.net")],
)
def test_without_a_proxy_events_go_to_the_brands_own_host(brand, origin, application):
    """Host and SDK name are those of the init that made the client."""
    told = application(
        """
        from wingify.services.settings_manager import SettingsManager
        from vwo_celery.sdk.fme import destination_of
        client = __import__(F["brand"]).init(OPTIONS)
        unproxied = {"sdk_key": OPTIONS["sdk_key"], "account_id": OPTIONS["account_id"]}
        SettingsManager({**unproxied, "is_via_vwo": F["brand"] == "vwo"})
        destination = destination_of(client)
        tell(origin=destination.origin, sdk=destination.sdk[0])
        os._exit(0)
        """,
        brand=brand,
    )

    assert told.facts == {"origin": origin, "sdk": f"{brand}-fme-python-sdk"}


def test_base_url_overrides_the_sdks_host(application):
    """Events go to base_url, whatever host the SDK has."""
    told = application(
        """
        import vwo
        queue = vwo_celery.attach(vwo.init(OPTIONS), base_url="https://collect.example")
        tell(origin=queue.destination.origin)
        """
    )

    assert told.facts == {"origin": "https://collect.example"}


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (None, "UNSET", [100, 600.0]),
        ({}, "UNSET", [100, 600.0]),
        ({"events_per_request": 7, "request_time_interval": 9}, "UNSET", [7, 9.0]),
        ({"events_per_request": 7}, {"events_per_request": 8}, [8, 600.0]),
    ],
)
def test_batch_options_are_the_arguments_else_the_clients_else_the_vendors(
    own, given, expected, application
):
    """Without batch_event_data, attach uses the client's own options; without those, 100 and 600."""
    told = application(
        """
        import msgspec, vwo
        client = vwo.init(OPTIONS)
        given = msgspec.UNSET if F["given"] == "UNSET" else F["given"]
        queue = vwo_celery.attach(client, batch_event_data=given)
        tell(batch=[queue.batch.events_per_request, queue.batch.request_time_interval])
        again = vwo_celery.attach(client)
        tell(again=[again.batch.events_per_request, again.batch.request_time_interval])
        """,
        options={"batch_event_data": own},
        given=given,
    )

    assert told.facts == {"batch": expected, "again": expected}


def test_the_clients_own_flush_callback_is_the_queues(application):
    """A callback function is stored by its import path, since workers call it."""
    told = application(
        """
        import vwo
        batching = {"events_per_request": 5, "flush_callback": json.dumps}
        queue = vwo_celery.attach(vwo.init({**OPTIONS, "batch_event_data": batching}))
        tell(callback=queue.batch.flush_callback)
        """
    )

    assert told.facts == {"callback": "json:dumps"}


def test_a_client_behind_the_gateway_service_is_refused_with_the_remedy(application):
    """A client behind the gateway service, which batches itself, is refused, with the remedy."""
    told = application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        from wingify.services.settings_manager import SettingsManager
        gateway = {"url": OPTIONS["proxy_url"]}
        SettingsManager({**OPTIONS, "proxy_url": None, "gateway_service": gateway})
        try:
            vwo_celery.attach(client)
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc), untouched=client.batch_event_queue is None)
        os._exit(0)
        """
    )

    assert "without gateway_service" in told.facts["error"]
    assert told.facts["untouched"]


def test_a_client_without_settings_is_refused_with_the_remedy(application, settings):
    """A client whose init could not fetch its settings tracks nothing and is refused."""
    settings.clear()

    told = application(
        """
        import vwo
        try:
            vwo_celery.attach(vwo.init(OPTIONS))
        except vwo_celery.errors.SdkError as exc:
            tell(error=str(exc))
        os._exit(0)
        """
    )

    assert "could not fetch them" in told.facts["error"]


# --- attach that raises ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "options"),
    [
        ("attach(client, shards='abc')", {"batch_event_data": {"request_time_interval": 600}}),
        ("attach(None)", {}),
    ],
)
def test_a_process_whose_attach_raised_ends_by_itself(mistake, options, application):
    """Neither the SDK's queue nor its polling keeps alive the process of which nobody caught it."""
    told = application(
        """
        import threading, vwo
        client = vwo.init(OPTIONS)
        timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
        tell(lasting=[not timer.daemon for timer in timers])
        try:
            exec("vwo_celery." + F["mistake"])
        except vwo_celery.errors.VwoCeleryError as exc:
            tell(error=type(exc).__name__)
        """,
        mistake=mistake,
        options=options,
    )

    assert told.facts["error"] in ("SettingsError", "SdkError")
    assert told.facts["lasting"] == [True] * (2 if options else 1)


def test_a_client_whose_attach_raised_goes_on_with_its_own_queue(application, standin):
    """Its own timer still sends what it holds."""
    application(
        """
        import vwo
        client = vwo.init(OPTIONS)
        client.track_event("purchase", USER)
        try:
            vwo_celery.attach(client, shards="abc")
        except vwo_celery.errors.SettingsError:
            client.track_event("revenueEvent", USER)
        own = client.batch_event_queue
        from vwo_celery.testing import wait_for
        wait_for(lambda: not own.batch_queue and not own.is_batch_processing)
        """,
        options={"batch_event_data": {"request_time_interval": 1}},
    )

    assert names(standin.events) == ["purchase", "revenueEvent"]
