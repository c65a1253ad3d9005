"""Who sees the console in Django, who may change what, and where a permission comes from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from urllib.parse import quote

import django
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from tools.django_project import EventQueue, Permission
from tools.django_visitors import ADMIN, MOUNTED, person, submit, text
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.console.actions import ACTIONS
from vwo_celery.operating.past.audit import changes

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


@pytest.mark.parametrize(
    ("client", "status", "listed"),
    [
        (lambda: person(superuser=True), 200, True),
        (lambda: person("view"), 200, True),
        (lambda: person("operate", "purge"), 403, False),
        (person, 403, False),
        (lambda: person("view", staff=False), 302, False),
        (Client, 302, False),
    ],
    ids=["superuser", "view", "without view", "other staff", "not staff", "anonymous"],
)
def test_who_sees_the_page_in_the_admin(
    client: Callable[[], Client], status: int, listed: bool
) -> None:
    """Superusers and staff with *view* see the page and its entry; others see neither."""
    asking = client()

    page, index = asking.get(ADMIN), asking.get("/admin/")

    assert page.status_code == status
    assert ("Event queues" in text(index)) == listed


def test_who_comes_in_outside_the_admin() -> None:
    """Outside, one needs *view* and need not be staff; who is not logged in is sent to log in."""
    seen = person("view", staff=False).get(MOUNTED)
    refused = person(staff=True).get(MOUNTED)
    sent = Client().get(f"{MOUNTED}?span=1h")

    assert (seen.status_code, refused.status_code) == (200, 403)
    assert "default-src 'none'" in seen.headers["Content-Security-Policy"]
    assert sent.url == f"/accounts/login/?next={quote(f'{MOUNTED}?span=1h', safe='/')}"


def test_a_program_that_may_not_come_in_is_not_sent_to_log_in() -> None:
    """The API answers 403 with a document, and a change is refused, where a page leads to the login."""
    asked = Client().get(f"{MOUNTED}api/v1/no-such")
    changed = submit(Client(), f"{MOUNTED}do/pause")

    assert (asked.status_code, changed.status_code) == (403, 403)
    assert "error" in json.loads(asked.content)


def test_signs_of_life_need_no_login() -> None:
    """The console's `healthz` answers anybody, also where Django demands a login of each view."""
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    extra = [required] if django.VERSION >= (5, 1) else []

    with override_settings(MIDDLEWARE=[*django_settings.MIDDLEWARE, *extra]):
        answer = Client().get(f"{MOUNTED}healthz")

    assert answer.status_code == 200


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_change_needs_its_permission(queues: Queues, place: str, action: str) -> None:
    """Whoever has each permission but the one that a change needs gets 403, and nothing is changed."""
    needed = ACTIONS[action].right.value
    others = {"view", "peek", "operate", "purge"} - {needed}

    answer = submit(person(*others), f"{place}do/{action}", queues=queues.add().name)

    assert answer.status_code == 403
    assert changes(queues.fleet) == []


def test_no_table_is_made_and_no_migration_is_missing() -> None:
    """The migration makes the permissions and no table, and `makemigrations --check` finds no change."""
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)

    made = Permission.objects.filter(content_type__app_label="vwo_celery")
    assert sorted(each.codename for each in made) == [
        f"{name}_eventqueue" for name in ("operate", "peek", "purge", "view")
    ]
    assert EventQueue._meta.db_table not in connection.introspection.table_names()


def test_a_dump_of_all_data_asks_for_no_table() -> None:
    """`dumpdata` and queries find no row where there is no table, and do not fail."""
    out = io.StringIO()

    call_command("dumpdata", "vwo_celery", stdout=out)
    call_command("dumpdata", "vwo_celery", use_base_manager=True, stdout=out)

    assert out.getvalue().strip() in ("[][]", "[]\n[]")
    assert list(EventQueue.objects.all()) == []
