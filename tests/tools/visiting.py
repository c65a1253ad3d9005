"""Requests to a console, as a browser or a program sends them, through its doors; what they read."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin

import msgspec

from vwo_celery.console import Console, Request, Response, Visitor
from vwo_celery.console.doors.asgi import asgi_app
from vwo_celery.console.doors.wsgi import wsgi_app
from vwo_celery.settings import Settings

HOST = "ops.test"
FORM = "application/x-www-form-urlencoded"
OWN = {"sec-fetch-site": "same-origin"}
Respond = Callable[[Request], Response]


class Browser:
    """Somebody in a role, in front of a console.

    Args:
        settings: Those of the console.
        role: The visitor's; None for somebody who may not come in.
        door: How requests reach the console: `directly`, `by_wsgi` or `by_asgi`.
        options: Of the console.
    """

    def __init__(
        self,
        settings: Settings,
        role: str | None = "purge",
        *,
        door: Callable[[Respond, Request], Response] | None = None,
        **options: Any,
    ) -> None:
        who = None if role is None else Visitor.in_role(role, "alice")
        self.console = Console(settings, lambda _: who, **options)
        self._door = door or directly

    def get(self, path: str, **headers: str) -> Response:
        """Look at a path, which may have a query."""
        return self.send("GET", path, b"", headers)

    def submit(self, path: str, **fields: Any) -> Response:
        """Send a form of a page."""
        headers = {"content-type": FORM, **OWN}
        return self.send("POST", path, urlencode(fields, doseq=True).encode(), headers)

    def order(self, path: str, **fields: Any) -> Response:
        """Send a form of a page, and look at the page that its answer leads to."""
        answer = self.submit(path, **fields)
        assert answer.status == 303, answer.body.decode()
        return self.get(urljoin(path, header(answer, "location")))

    def post(self, path: str, document: Any) -> Response:
        """Send JSON to the API, as a page of the console could."""
        return self.send("POST", path, msgspec.json.encode(document), OWN)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        """Send anything."""
        place, _, query = path.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(
            method, f"/{place}", query=query, headers={"host": HOST, **sent}, body=body,
            remote="192.0.2.7",
        )  # fmt: skip
        return self._door(self.console.respond, request)


def directly(respond: Respond, request: Request) -> Response:
    """Without a door."""
    return respond(request)


def by_wsgi(respond: Respond, request: Request) -> Response:
    """Through the WSGI door, mounted at /ops/vwo."""
    environ = {
        "REQUEST_METHOD": request.method, "SCRIPT_NAME": "/ops/vwo", "PATH_INFO": request.path,
        "QUERY_STRING": request.query, "REMOTE_ADDR": request.remote, "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body), "CONTENT_LENGTH": str(len(request.body)),
    }  # fmt: skip
    for name, value in request.headers.items():
        spelled = name.upper().replace("-", "_")
        environ[spelled if spelled == "CONTENT_TYPE" else f"HTTP_{spelled}"] = value
    begun: list[Any] = []
    body = b"".join(wsgi_app(respond)(environ, lambda *words: begun.append(words)))
    ((status, headers),) = begun
    return Response(int(status.split()[0]), headers, body)


def by_asgi(respond: Respond, request: Request) -> Response:
    """Through the ASGI door, mounted at /ops/vwo, in two pieces."""
    scope = {
        "type": "http", "method": request.method, "path": f"/ops/vwo{request.path}",
        "root_path": "/ops/vwo", "query_string": request.query.encode(), "scheme": "http",
        "client": (request.remote, 1234),
        "headers": [(name.encode(), value.encode()) for name, value in request.headers.items()],
    }  # fmt: skip
    half = len(request.body) // 2
    coming = [
        {"type": "http.request", "body": request.body[:half], "more_body": True},
        {"type": "http.request", "body": request.body[half:]},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asgi_app(respond)(scope, receive, send))
    start, end = sent
    headers = [(name.decode().title(), value.decode()) for name, value in start["headers"]]
    return Response(start["status"], headers, end["body"])


def text_of(browser: Browser, path: str, status: int = 200) -> str:
    """What somebody reads on a page, on one line."""
    answer = browser.get(path)
    assert answer.status == status, answer.body.decode()
    main = answer.body.decode().partition("<main")[2].partition(">")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub("<[^>]*>", " ", main)).split())


def hidden_of(browser: Browser, path: str) -> dict[str, list[str]]:
    """The hidden fields of a page's form."""
    found = re.findall(
        r'<input type="hidden" name="([^"]*)" value="([^"]*)"', browser.get(path).body.decode()
    )
    return {name: [unescape(v) for n, v in found if n == name] for name, _ in found}


def header(response: Response, name: str) -> str | None:
    """A header of a response; None if it has none of that name."""
    wanted = name.lower()
    return next((value for each, value in response.headers if each.lower() == wanted), None)


def document(response: Response) -> Any:
    """The JSON that a response holds."""
    return msgspec.json.decode(response.body)
