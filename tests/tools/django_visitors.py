"""Visitors of the console in `django_project`: logged in with permissions, and what they send it."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from tools.django_project import Permission, User

ADMIN = "/admin/vwo_celery/eventqueue/"
MOUNTED = "/ops/vwo/"
_numbers = itertools.count()


def person(*permissions: str, staff: bool = True, superuser: bool = False) -> Client:
    """Somebody who is logged in, with permissions of the console; checks tokens as browsers meet them."""
    user = User.objects.create_user(f"person-{next(_numbers)}", is_staff=staff)
    user.is_superuser = superuser
    user.save()
    codenames = [f"{name}_eventqueue" for name in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def text(response: Any) -> str:
    """The body of a response."""
    return str(response.content.decode())


def submit(client: Client, path: str, **fields: Any) -> Any:
    """Send a form of a page, with the token that Django asks for."""
    client.cookies["csrftoken"] = fields["csrfmiddlewaretoken"] = "t" * 32
    kind = "application/x-www-form-urlencoded"
    return client.post(path, urlencode(fields, doseq=True), content_type=kind)


def send_document(client: Client, place: str, path: str, order: Any) -> Any:
    """Send a document to the API, with Django's token in a header."""
    client.cookies["csrftoken"] = "t" * 32
    kind = "application/json"
    return client.post(place + path, order, content_type=kind, HTTP_X_CSRFTOKEN="t" * 32)
