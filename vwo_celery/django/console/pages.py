"""The console as a page of Django's admin: its pages between the admin's own head and foot.

Beside an event's way. The admin decides who is staff, Django's permissions what they see and do. Nothing
here asks Redis before one of its own pages is opened, so that the admin itself is as quick and as well
without Redis. Nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path

from vwo_celery.django.console.checks import VIEW_PERMISSION

_CHANGES_A_PAGE: Final = 100


class EventQueueAdmin(admin.ModelAdmin):  # type: ignore[misc]
    """Shows the console where the admin would list the model's rows, of which there are none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody makes a queue here; applications register them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits a queue; what one may do to it, the console asks of other permissions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes a queue here."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether they may see the console."""
        return bool(request.user.has_perm(VIEW_PERMISSION))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the admin's index lists the console."""
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        """The console's paths; the names are those by which the admin finds a model's pages."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", self._staff(self.changelist_view), name=f"{name}_changelist"),
            path("history/", self._staff(self.history_of_all), name=f"{name}_history_all"),
            path(
                "<str:object_id>/history/", self._staff(self.history_view), name=f"{name}_history"
            ),
            path("<str:object_id>/change/", self._staff(self.change_view), name=f"{name}_change"),
            path("<path:rest>", self._staff(self.console_view), name=f"{name}_console"),
        ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The queue of a name, which the admin's own view of a history asks for; no table has it."""
        return self.model(name=object_id)

    # -- pages

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The console's first page."""
        return self.console_view(request, "", extra_context)

    def console_view(
        self, request: HttpRequest, rest: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The console's page of that path, or whatever else it answers."""
        # Imported when it is first opened: other pages of the site need nothing of it.
        from vwo_celery.django.console import door

        self._demand_view(request)
        found = door.answer(request, rest)
        if isinstance(found, HttpResponse):
            return found
        response = self._page(request, "page", found.context | (extra_context or {}), found.status)
        if found.tag:
            response["ETag"] = found.tag
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Where the admin leads from a queue that its history names: the console's page of it."""
        self._demand_view(request)
        return HttpResponseRedirect(f"../../queues/{quote(unquote(object_id), safe='')}")

    def history_of_all(self, request: HttpRequest) -> HttpResponse:
        """What was changed through this console, the newest first, whichever queue it concerned."""
        self._demand_view(request)
        found = LogEntry.objects.filter(content_type=get_content_type_for_model(self.model))
        pages = self.get_paginator(request, found.select_related("user"), _CHANGES_A_PAGE)
        context = {
            "title": "Changes of event queues",
            "changes": pages.get_page(request.GET.get(PAGE_VAR, 1)),
            "page_var": PAGE_VAR,
        }
        return self._page(request, "history", context)

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"vwo_celery/{template}.html", whole, status=status)

    def _demand_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _staff(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        """A view that only staff of this admin site reaches, and that checks the form's token."""
        wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(view)
        return wrapped
