"""Names of spans and attributes: OpenTelemetry's semantic conventions of one version, and our own.

Words without I/O: nothing to lose. The version is 1.36.0, in which those of messaging are of the status
Development, and those of HTTP and errors Stable
(https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/messaging/messaging-spans.md).
A later version changes them only with a release of ours that says so. OTEL_SEMCONV_STABILITY_OPT_IN
chooses between names that an instrumentation had before and stable ones: there are none of ours from
before, so that it changes nothing yet.
"""

from __future__ import annotations

from typing import Final

#: Where this version's schema is found; part of each span's scope.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.36.0"
SYSTEM: Final = "vwo_celery"
TEMPLATE: Final = "vwo.events"

MESSAGING_SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
DESTINATION_TEMPLATE: Final = "messaging.destination.template"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGE_COUNT: Final = "messaging.batch.message_count"
BODY_SIZE: Final = "messaging.message.body.size"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
URL: Final = "url.full"

BATCH: Final = "vwo_celery.batch"
ATTEMPT: Final = "vwo_celery.attempt"
OLDEST_AGE: Final = "vwo_celery.oldest_age"
LINKS_DROPPED: Final = "vwo_celery.links.dropped"


def span_name(operation: str) -> str:
    """The name of the span of an operation on events."""
    return f"{operation} {TEMPLATE}"


def about(operation: str, kind: str, queue: str) -> dict[str, str]:
    """The attributes of each span of an operation, of a kind such as "send", on a queue."""
    return {
        MESSAGING_SYSTEM: SYSTEM,
        DESTINATION: queue,
        DESTINATION_TEMPLATE: TEMPLATE,
        OPERATION_NAME: operation,
        OPERATION_TYPE: kind,
    }
