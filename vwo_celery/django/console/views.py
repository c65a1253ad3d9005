"""The console outside of the admin, as one view of the whole document.

Beside an event's way. Nothing to lose.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_protect

_FORBIDDEN = 403


@csrf_protect  # type: ignore[untyped-decorator]
def console_view(request: HttpRequest, path: str) -> HttpResponse:
    """What the console answers; whoever is not logged in and asks for a page is sent to log in."""
    # Imported when it is first opened: other pages of the site need nothing of it.
    from django.contrib.auth.views import redirect_to_login

    from vwo_celery.django.console import door

    asked = door.request_of(request, path)
    response = door.console().respond(asked)
    if (
        response.status == _FORBIDDEN
        and _may_log_in(request)
        and asked.is_safe
        and not path.startswith("api/")
    ):
        return redirect_to_login(request.get_full_path())
    return door.send(request, response)


def _may_log_in(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    return user is not None and not user.is_authenticated


#: The view sees to it itself, and its /healthz is for those who cannot log in.
console_view.login_required = False
