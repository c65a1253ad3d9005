"""The headers of every answer, which keep a browser to what our pages need. Pure: nothing to lose.

No page has a script or a style of its own, so none needs a nonce: what somebody smuggled in is not run.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from vwo_celery.console.shared.exchange import Response

POLICY: Final = "; ".join(
    (
        "default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'",
        "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
    )
)  # fmt: skip
_HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_NOT_KEPT: Final = ("Cache-Control", "private, no-store")


def guarded(response: Response) -> Response:
    """The response with the headers; one that says how long it may be kept says so itself."""
    names = {name.lower() for name, _ in response.headers}
    added = _HEADERS if "cache-control" in names else (*_HEADERS, _NOT_KEPT)
    return replace(response, headers=(*response.headers, *added))
