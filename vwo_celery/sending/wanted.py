"""What an SDK asks of VWO, and what came of it: the words of `fetching`, without an HTTP library.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vwo_celery.sending.outcomes import Failure


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it goes to VWO.

    Attributes:
        origin: Scheme and host, and a path that stands before `path`, if any.
        path: Path, region included.
        query: As the SDK spelled it, visible ASCII; "" for none.
        key: The SDK key in it; "" if it has none.
        method: HTTP method.
        headers: Further headers.
        body: The body of a POST.
    """

    origin: str
    path: str
    query: str
    key: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, or why there is none.

    Attributes:
        status: HTTP status; None if there was no whole answer.
        content_type: As it came; "" for none.
        body: The whole body, without its encoding.
        failure: Why there is no answer; None if there is one.
        detail: The operating system's words on a failure, without the key.
    """

    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    failure: Failure | None = None
    detail: str = ""
