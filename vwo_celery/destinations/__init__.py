"""Destinations: everything that the events of one batch share in its request line and headers.

Files, in reading order: `destination` (a destination, its queue's name, URL and headers), `parts`
(what each part may be), `spelling` (what a request line says of the SDK, as SDKs of all languages
spell it). Pure: nothing to lose if the process dies.
"""

from __future__ import annotations

from vwo_celery.destinations.destination import (
    COLLECTION_HOSTS,
    NEWEST_SDK,
    RELAY_HEADER,
    VWO_HOST,
    WINGIFY_HOST,
    WINGIFY_SETTINGS_HOST,
    Destination,
    StoredDestination,
)
from vwo_celery.destinations.parts import Generation
from vwo_celery.destinations.spelling import QUERY_NAMES

__all__ = [
    "COLLECTION_HOSTS",
    "NEWEST_SDK",
    "QUERY_NAMES",
    "RELAY_HEADER",
    "VWO_HOST",
    "WINGIFY_HOST",
    "WINGIFY_SETTINGS_HOST",
    "Destination",
    "Generation",
    "StoredDestination",
]
