"""The console: a request comes in, a page, an action's result, a document or a file goes out.

Beside an event's way. In this order: is the body bearable, may they come in, does a change come from a
page of ours, may they do this, and then the route's own answer. `respond` is a pure function of the
request and of what stands in Redis; doors call it from many threads at once. If the process dies here,
what an action has changed stays so, and nothing else is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from vwo_celery.console import pages
from vwo_celery.console.access.headers import guarded
from vwo_celery.console.access.origins import is_own
from vwo_celery.console.actions import ACTIONS, Action, Change, tell_nobody
from vwo_celery.console.api import API
from vwo_celery.console.api.probes import probe
from vwo_celery.console.memory import LastPages
from vwo_celery.console.shared.exchange import (
    MOST_BODY_BYTES,
    Page,
    Request,
    Response,
    json_response,
    redirect,
)
from vwo_celery.console.shared.refusals import Refusal, refusal_of
from vwo_celery.console.shared.rights import Right, Visitor
from vwo_celery.console.shared.routes import find
from vwo_celery.console.shared.sources import Source
from vwo_celery.console.shared.visits import Visit
from vwo_celery.errors import QueueUnavailable
from vwo_celery.settings import Settings
from vwo_celery.text.wording import shown

#: Where forms of pages post to, and where programs do.
_FORMS: Final = "do/"
_API: Final = "/api/"
_API_ACTIONS: Final = "api/v1/"
_STATIC: Final = "/static/"

#: Decides who somebody is: a visitor, the name of a role, or None for nobody.
Authorise = Callable[[Request], "Visitor | str | None"]


class Console:
    """The console of one namespace.

    Args:
        settings: A worker's, which lead to the queues.
        authorise: Who asks, and what they may do; may raise a `Refusal`.
        door: The way in of pages, for the audit: "console", or "django"; that of the API is "api".
        checks_origin: Whether a change must come from a page of ours; False where the door has checked
            a token of its own.
        app: Your Celery app, or its name as `celery -A` takes it, by which jobs reach the workers; ""
            for the ready one.
        changed: Told of each change when it is made.
    """

    def __init__(
        self,
        settings: Settings,
        authorise: Authorise,
        *,
        door: str = "console",
        checks_origin: bool = True,
        app: Any = "",
        changed: Callable[[Change], None] = tell_nobody,
    ) -> None:
        self.source = Source(settings, app)
        self._authorise = authorise
        self._door = door
        self._checks_origin = checks_origin
        self._changed = changed
        self._last = LastPages()

    # -- whole responses

    def respond(self, request: Request) -> Response:
        """Answer a request; whatever goes wrong is an answer, too."""
        visit, answer = self.answer(request)
        if isinstance(answer, Page):
            answer = _whole(request, visit, answer)
        return guarded(answer)

    def answer(self, request: Request) -> tuple[Visit | None, Page | Response]:
        """Answer a request with a page, around which the door puts its own frame, or with a response.

        Returns:
            The visit, None if nobody may come in; and the answer.
        """
        visit: Visit | None = None
        try:
            early = _early(request) or probe(request, self.source)
            if early is not None:
                return None, early
            visit = self._admit(request)
            answer = self._route(visit)
        except Exception as exc:
            return visit, self._refused(request, visit, refusal_of(exc, self.source))
        if isinstance(answer, Page) and request.is_safe:
            self._last.keep(visit, answer)
        return visit, answer

    def _admit(self, request: Request) -> Visit:
        """Let somebody in, or raise a `Refusal`."""
        found = self._authorise(request)
        visitor = Visitor.in_role(found) if isinstance(found, str) else found
        if visitor is None:
            raise Refusal(403, "you may not come in", "ask whoever runs this console for a role")
        if not request.is_safe and self._checks_origin and not is_own(request):
            raise Refusal(
                403, "this request did not come from a page of this console",
                "open the console itself, and use its form; a program brings a token",
            )  # fmt: skip
        door = "api" if request.path.startswith(_API) else self._door
        return Visit(request, visitor, self.source, door=door)

    def _route(self, visit: Visit) -> Page | Response:
        method, path = visit.request.method, visit.path
        if method == "POST":
            return self._act(visit, path)
        if method not in ("GET", "HEAD"):
            raise Refusal(405, f"{method} is not known here")
        found = find((*API, *pages.PAGES), path)
        if found is None:
            raise _nothing_there(path)
        route, visit.pieces = found
        _demand(visit, route.right)
        return route.answer(visit)

    # -- changes

    def _act(self, visit: Visit, path: str) -> Page | Response:
        start = _FORMS if path.startswith(_FORMS) else _API_ACTIONS
        action = ACTIONS.get(path.removeprefix(start)) if path.startswith(start) else None
        if action is None:
            raise _nothing_there(path)
        _demand(visit, action.right)
        if start == _API_ACTIONS:
            document = self._change(visit, action, action.order_of_json(visit.request.body))
            return document if isinstance(document, Response) else json_response(document)
        return self._act_for_page(visit, action)

    def _act_for_page(self, visit: Visit, action: Action) -> Page | Response:
        hidden = {name for name, _ in visit.request.form_fields}
        form = {name: each for name, each in visit.request.form().items() if name not in hidden}
        order = action.order_of_form(form)
        document = self._change(visit, action, order)
        return document if isinstance(document, Response) else pages.done(visit, action, document)

    def _change(self, visit: Visit, action: Action, order: Any) -> Any:
        try:
            document = action.act(visit, order)
        except QueueUnavailable as exc:
            self._changed(Change(visit, action, order, error=str(exc)))
            raise
        told = None if isinstance(document, Response) else document
        self._changed(Change(visit, action, order, told))
        return document

    # -- what could not be done

    def _refused(self, request: Request, visit: Visit | None, refusal: Refusal) -> Page | Response:
        if request.path.startswith(_API):
            document = {"error": refusal.what, "remedy": refusal.remedy}
            answer = json_response(document, refusal.status)
            return replace(answer, headers=(*answer.headers, *refusal.headers))
        last = self._last.of(visit) if visit and refusal.status == 503 else None
        page = pages.trouble(
            visit, refusal.status, refusal.what, refusal.remedy, last, wrong_type=refusal.wrong_type
        )
        return _whole(request, visit, page, refusal.headers) if refusal.headers else page


def _early(request: Request) -> Response | None:
    """What needs no visitor: too much, the mount without its slash, and the pages' own files."""
    if len(request.body) > MOST_BODY_BYTES:
        raise Refusal(413, f"a request may have {MOST_BODY_BYTES:,} bytes at most")
    if not request.path:
        return redirect(f"{request.prefix.rpartition('/')[2]}/")
    if request.path.startswith(_STATIC) and request.is_safe:
        return _file(request, request.path.removeprefix(_STATIC))
    return None


def _file(request: Request, path: str) -> Response:
    found = pages.static(path)
    if found is None:
        raise _nothing_there(path)
    kind, body = found
    headers = (("Content-Type", kind), ("Cache-Control", "no-cache"))
    return _unless_known(request, Response(200, headers, body))


def _nothing_there(path: str) -> Refusal:
    return Refusal(404, f"there is no page {shown(path)} here")


def _demand(visit: Visit, right: Right) -> None:
    if not visit.may(right):
        raise Refusal(
            403, f"{visit.visitor.name} may not do this: it takes the right {right.value!r}",
            "ask whoever runs this console for a role that has it",
        )  # fmt: skip


# -- pages as documents


def _whole(
    request: Request,
    visit: Visit | None,
    page: Page,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """A page as a whole document; only its main part, where our own script asks for that."""
    is_part = request.headers.get("x-part") == "main"
    body = page.html.encode() if is_part else pages.frame(visit, page)
    kind = ("Content-Type", "text/html; charset=utf-8")
    response = Response(page.status, (kind, *headers), body)
    return _unless_known(request, response) if page.status == 200 else response


def _unless_known(request: Request, response: Response) -> Response:
    """The response with its ETag; without its body, where the browser has that already."""
    tag = f'"{hashlib.blake2b(response.body, digest_size=12).hexdigest()}"'
    headers = (*response.headers, ("ETag", tag))
    if request.is_safe and request.headers.get("if-none-match") == tag:
        return Response(304, headers)
    return replace(response, headers=headers)
