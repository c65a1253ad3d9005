"""VWO's SDK: one client for each process, its events on the shared queue."""

import functools

from django.conf import settings

import vwo_celery


@functools.cache
def client():
    """The SDK's client; the first call fetches the account's settings."""
    options = {
        "account_id": settings.VWO_ACCOUNT_ID,
        "sdk_key": settings.VWO_SDK_KEY,
        "batch_event_data": settings.VWO_BATCH_EVENT_DATA,
    }
    if settings.VWO_PROXY_URL:
        options["proxy_url"] = settings.VWO_PROXY_URL
    # strict: a client that could not fetch its settings would run and never track anything.
    return vwo_celery.init(options, strict=True)


def queue():
    """The shared queue behind the client, for events that must wait for a commit."""
    return vwo_celery.queue_of(client())
