"""The console inside the admin: where it is registered, when loaded, what of a visitor's is in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.test import override_settings

import vwo_celery
from tools.django_project import EventQueue
from tools.django_visitors import ADMIN, MOUNTED, person, text
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.console import Page, pages
from vwo_celery.console.shared.routes import Route
from vwo_celery.console.shared.visits import Visit
from vwo_celery.django.admin import register
from vwo_celery.errors import QueueUnavailable
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)
TESTS = Path(__file__).parents[4]


def test_a_site_of_ones_own_gets_the_page() -> None:
    """`register` gives any admin site the page, once."""
    site = AdminSite("mine")

    register(site)
    register(site)

    assert site.is_registered(EventQueue)


def started(tmp_path: Path, code: str, **more: Any) -> str:
    """What *code* prints in a process of its own, once the project with *more* settings is set up."""
    program = (
        "import sys, django\nfrom pathlib import Path\nfrom django.conf import settings\n"
        "from tools.django_settings import options\n"
        f"settings.configure(**(options(Path({str(tmp_path)!r})) | {more!r}))\ndjango.setup()\n"
    )
    folders = [str(TESTS), str(Path(vwo_celery.__file__).parents[1])]
    ran = subprocess.run(
        [sys.executable, "-c", program + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


REGISTERED = """
from django.contrib import admin
print(*[model.__name__ for model in admin.site._registry])
"""


def test_a_setting_keeps_the_page_out_of_the_admin(tmp_path: Path) -> None:
    """VWO_CELERY_ADMIN = False keeps the page out of the default admin site."""
    assert "EventQueue" in started(tmp_path, REGISTERED)
    assert "EventQueue" not in started(tmp_path, REGISTERED, VWO_CELERY_ADMIN=False)


LOADED = """
from django.urls import get_resolver
get_resolver().url_patterns
print(sorted({"celery", "jinja2", "vwo_celery.console", "vwo_celery.operating"} & set(sys.modules)))
"""


def test_a_process_that_opens_no_page_loads_none(tmp_path: Path) -> None:
    """Where the console is in the admin and in the URLs, a process loads it when it opens a page."""
    assert started(tmp_path, LOADED) == "[]"


def test_the_admin_needs_no_redis() -> None:
    """Without Redis the admin's own pages are as they are; the console's page says what is wrong."""
    asking = person(superuser=True)

    with override_settings(VWO_CELERY={"redis_url": f"redis://127.0.0.1:{free_port()}/0"}):
        index, page = asking.get("/admin/"), asking.get(ADMIN)

    assert index.status_code == 200
    assert page.status_code == 503
    assert "cannot be used" in text(page)
    assert "Log out" in text(page)


def with_nonce(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that keeps a nonce where django-csp does."""

    def middleware(request: Any) -> Any:
        request.csp_nonce = "n0nce"
        return get_response(request)

    return middleware


def test_the_nonce_of_the_projects_policy_is_used() -> None:
    """Style sheets and script have the nonce that a Content-Security-Policy may demand."""
    middleware = [*django_settings.MIDDLEWARE, f"{__name__}.with_nonce"]

    with override_settings(MIDDLEWARE=middleware):
        page = text(person("view").get(ADMIN))

    assert page.count('nonce="n0nce"') == 3


def a_form(visit: Visit) -> Page:
    """A page with a form, which needs Redis."""
    visit.fleet.now_ms()
    fields = visit.request.form_fields
    return Page("A form", "".join(f'<input name="{name}" value="{text}">' for name, text in fields))


def tokens_in(page: Any) -> list[str]:
    """The tokens of the forms of a page, in the console's part."""
    return re.findall(r'<input name="csrfmiddlewaretoken" value="(\w+)">', text(page))


@pytest.fixture
def _page_with_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console has that page, at `form`."""
    monkeypatch.setattr(pages, "PAGES", (*pages.PAGES, Route("form", a_form)))


@pytest.mark.usefixtures("_page_with_a_form")
@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
def test_a_kept_page_has_no_token_of_another(
    place: str, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is shown again while Redis is away, as another saw it, has the visitor's own token."""
    one, other = person("view", "operate"), person("view", "operate")
    (of_one,) = tokens_in(one.get(f"{place}form"))

    monkeypatch.setattr(Fleet, "now_ms", refuse_to_answer)
    away = other.get(f"{place}form")
    (of_other,) = tokens_in(away)
    monkeypatch.undo()

    assert away.status_code == 503
    assert of_other != of_one
    form = urlencode({"csrfmiddlewaretoken": of_other, "queues": queues.add().name})
    kind = "application/x-www-form-urlencoded"
    assert other.post(f"{place}do/pause", form, content_type=kind).status_code == 303


def refuse_to_answer(_: Fleet) -> int:
    """Be a Redis that is away."""
    raise QueueUnavailable("the time")


@pytest.mark.usefixtures("_page_with_a_form")
def test_a_page_that_is_the_same_is_not_sent_again() -> None:
    """The admin's page has a tag that stays while the console's part does, whatever Django's token."""
    asking = person("view")

    first = asking.get(f"{ADMIN}form")
    again = asking.get(f"{ADMIN}form", HTTP_IF_NONE_MATCH=first.headers["ETag"])
    changed = person("view").get(f"{ADMIN}form", HTTP_IF_NONE_MATCH=first.headers["ETag"])

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert changed.status_code == 200  # it names another visitor
