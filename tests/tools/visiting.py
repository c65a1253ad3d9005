"""Requests to a console, as a browser or a program sends them, without a server between."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from vwo_celery.console import Console, Request, Response, Visitor
from vwo_celery.settings import Settings

HOST = "ops.test"


class Browser:
    """Somebody in a role, in front of a console.

    Args:
        settings: Those of the console.
        role: The visitor's; None for somebody who may not come in.
        options: Of the console.
    """

    def __init__(self, settings: Settings, role: str | None = "purge", **options: Any) -> None:
        who = None if role is None else Visitor.in_role(role, "alice")
        self.console = Console(settings, lambda _: who, **options)

    def get(self, path: str, **headers: str) -> Response:
        """Look at a path, which may have a query."""
        return self._send("GET", path, b"", headers)

    def submit(self, path: str, **fields: Any) -> Response:
        """Send a form of a page."""
        headers = {
            "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin",
        }  # fmt: skip
        return self._send("POST", path, urlencode(fields, doseq=True).encode(), headers)

    def post(self, path: str, document: Any, **headers: str) -> Response:
        """Send JSON to the API, as a page of the console could."""
        body = msgspec.json.encode(document)
        return self._send("POST", path, body, {"sec-fetch-site": "same-origin", **headers})

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        place, _, query = path.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.console.respond(
            Request(
                method, f"/{place}", query=query, headers={"host": HOST, **sent}, body=body,
                remote="192.0.2.7",
            )
        )  # fmt: skip


def header(response: Response, name: str) -> str | None:
    """A header of a response; None if it has none of that name."""
    return next((value for each, value in response.headers if each == name), None)
