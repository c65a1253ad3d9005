"""The console in Django: permissions, the admin's page, its history, and the way in outside the admin."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import django
import pytest
import redis as redis_py
from celery import Celery
from django.conf import settings as django_settings
from django.contrib.admin import AdminSite
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client, override_settings

import vwo_celery
from tools.django_project import CHANGE, EventQueue, LogEntry, Permission, User, project
from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, document
from vwo_celery.console import Page, pages
from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.shared.routes import Route
from vwo_celery.console.shared.visits import Visit
from vwo_celery.django.admin import register
from vwo_celery.django.console import checks as console_checks
from vwo_celery.django.console.checks import check_access
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.past.audit import changes
from vwo_celery.queue.fleet import Fleet
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

TESTS = Path(__file__).parents[2]
ADMIN = "/admin/vwo_celery/eventqueue/"
MOUNTED = "/ops/vwo/"
_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def _project() -> Iterator[None]:
    """A configured Django, invisible to the tests of other modules."""
    with project():
        yield


@pytest.fixture(autouse=True)
def _our_redis(redis_url: str) -> Iterator[None]:
    """VWO_CELERY leads to the test's own Redis."""
    with override_settings(VWO_CELERY={"redis_url": redis_url}):
        yield


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


# --- who sees it -----------------------------------------------------------------------------------


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


# --- changes -------------------------------------------------------------------------------------


def submit(client: Client, path: str, **fields: Any) -> Any:
    """Send a form of a page, with the token that Django asks for."""
    client.cookies["csrftoken"] = fields["csrfmiddlewaretoken"] = "t" * 32
    kind = "application/x-www-form-urlencoded"
    return client.post(path, urlencode(fields, doseq=True), content_type=kind)


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
def test_a_change_is_made_and_recorded(queues: Queues, place: str) -> None:
    """A form changes the queue; audit and admin's history say who did what, and through which door."""
    queue, asking = queues.add(), person("view", "operate")
    LogEntry.objects.all().delete()

    answer = submit(asking, f"{place}do/pause", queues=queue.name, reason="a deploy")

    assert answer.status_code == 200, text(answer)
    assert queues.view(queue).paused
    (change,) = changes(queues.fleet)
    (entry,) = LogEntry.objects.all()
    assert (change.who, change.door, change.reason) == (entry.user.username, "django", "a deploy")
    assert (entry.object_id, entry.action_flag) == (queue.name, CHANGE)
    assert entry.change_message == (
        f"pause; queues: {queue.name}; reason: a deploy; paused: {queue.name}"
    )


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("action", ["flush", "pause", "resume"])
def test_a_change_by_the_api_is_the_consoles(queues: Queues, place: str, action: str) -> None:
    """A program that is logged in gets of Django the document that it gets of the console by itself."""
    asking, browser, documents = person("view", "operate"), Browser(queues.settings), []
    for ask in (
        lambda path, order: document(browser.post(path, order)),
        lambda path, order: send_document(asking, place, path, order).json(),
    ):
        queues.client.flushdb()
        queue = queues.add()
        queues.fill(queue, 5)
        if action == "resume":
            queues.shard(queue).pause("lunch", by="operator")

        documents.append(ask(f"api/v1/{action}", {"queues": [queue.name]}))

    assert documents[0] == documents[1]


def send_document(client: Client, place: str, path: str, order: Any) -> Any:
    """Send a document to the API, with Django's token in a header."""
    client.cookies["csrftoken"] = "t" * 32
    kind = "application/json"
    return client.post(place + path, order, content_type=kind, HTTP_X_CSRFTOKEN="t" * 32)


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
def test_a_change_needs_djangos_token(queues: Queues, place: str) -> None:
    """A form without the visitor's token, as another site would send it, gets 403 and changes nothing."""
    queue, asking = queues.add(), person(superuser=True)

    answer = asking.post(f"{place}do/pause", {"queues": queue.name})

    assert answer.status_code == 403
    assert changes(queues.fleet) == []


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("path", ["do/redrive", "api/v1/redrive"])
def test_a_form_with_files_changes_nothing(queues: Queues, place: str, path: str) -> None:
    """A body that Django has read as files, to find its token, is refused, and means nothing."""
    queue, asking = queues.add(), person(superuser=True)
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    asking.cookies["csrftoken"] = "t" * 32

    answer = asking.post(place + path, {"csrfmiddlewaretoken": "t" * 32, "batches": "1"})

    assert answer.status_code == 400
    assert changes(queues.fleet) == []


@pytest.mark.parametrize("place", [ADMIN, MOUNTED])
@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_change_needs_its_permission(queues: Queues, place: str, action: str) -> None:
    """Whoever has each permission but the one that a change needs gets 403, and nothing is changed."""
    needed = ACTIONS[action].right.value
    others = {"view", "peek", "operate", "purge"} - {needed}

    answer = submit(person(*others), f"{place}do/{action}", queues=queues.add().name)

    assert answer.status_code == 403
    assert changes(queues.fleet) == []


@pytest.fixture
def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a project's Celery app, as VWO_CELERY_APP takes it; its queue is "shop"."""
    app = Celery("shop", broker=redis_url, set_as_current=False)
    app.conf.task_default_queue = "shop"
    monkeypatch.setitem(sys.modules, "shop_of_the_test", SimpleNamespace(app=app))
    return "shop_of_the_test:app"


@pytest.mark.declared_keys("shop", "_kombu.*")
def test_bulk_work_goes_to_the_projects_workers(
    queues: Queues, redis: redis_py.Redis, shop: str
) -> None:
    """A redrive is ordered through the app of VWO_CELERY_APP, and the admin's history has its filter."""
    queue, asking = queues.add(), person("view", "operate")
    queues.fill(queue, 5)
    queues.kill(queue, "HTTP 413")
    LogEntry.objects.all().delete()

    with override_settings(VWO_CELERY_APP=shop):
        answer = submit(asking, f"{ADMIN}do/redrive", filter=f"queue:{queue.name}", batches=1)

    assert answer.status_code == 200, text(answer)
    assert redis.llen("shop") == 1
    (entry,) = LogEntry.objects.all()
    assert entry.change_message.startswith(
        f"redrive; filter: queue:{queue.name}; batches: 1; job: "
    )


@pytest.mark.declared_keys("shop", "_kombu.*")
def test_the_history_of_the_admin_names_no_visitor(queues: Queues, shop: str) -> None:
    """Whoever sees numbers alone sees the history: an entry has the filter without visitors' ids."""
    queue, asking = queues.add(), person("view", "peek", "operate")
    assert queue.enqueue_many([{"d": {"visId": "bob", "event": {"name": "n"}}}] * 5)
    queues.kill(queue, "HTTP 413")
    LogEntry.objects.all().delete()

    with override_settings(VWO_CELERY_APP=shop):
        answer = submit(asking, f"{ADMIN}do/redrive", filter="visitor:bob", batches=1)

    assert answer.status_code == 200, text(answer)
    (entry,) = LogEntry.objects.all()
    assert entry.change_message.startswith("redrive; filter: visitor:…; batches: 1; job: ")
    assert "bob" not in text(person("view").get(f"{ADMIN}history/"))


def test_the_history_of_the_admin(queues: Queues) -> None:
    """The admin shows the changes of one queue, of all, and recent ones with links to the queues."""
    one, other, asking = queues.add(1), queues.add(2), person("view", "operate")
    LogEntry.objects.all().delete()
    submit(asking, f"{ADMIN}do/pause", queues=[one.name, other.name], reason="both")
    submit(asking, f"{ADMIN}do/resume", queues=one.name)
    (entry, *_) = LogEntry.objects.filter(object_id=one.name)

    of_one = text(asking.get(f"{ADMIN}{one.name}/history/"))
    of_other = text(asking.get(f"{ADMIN}{other.name}/history/"))
    of_all = text(asking.get(f"{ADMIN}history/"))
    index = text(asking.get("/admin/"))

    assert [of_one.count(word) for word in ("pause;", "resume;")] == [1, 1]
    assert [of_other.count(word) for word in ("pause;", "resume;")] == [1, 0]
    assert [of_all.count(word) for word in ("pause;", "resume;")] == [2, 1]
    assert of_all.index("resume;") < of_all.index("pause;")
    assert of_all.count(f">{one.name}</a>") == 2
    assert entry.get_admin_url() in index
    assert asking.get(entry.get_admin_url()).url == f"../../queues/{one.name}"


def test_a_change_stays_made_where_its_entry_cannot_be_stored(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that takes no entry makes no failure of a change that Redis has taken."""
    queue, asking = queues.add(), person("view", "operate")

    def refuse(*_: Any, **__: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(type(LogEntry.objects), "bulk_create", refuse)
    answer = submit(asking, f"{ADMIN}do/pause", queues=queue.name)

    assert answer.status_code == 200
    assert queues.view(queue).paused
    assert "not in the admin's history" in caplog.text


# --- Redis away ------------------------------------------------------------------------------------


def test_the_admin_needs_no_redis() -> None:
    """Without Redis the admin's own pages are as they are; the console's page says what is wrong."""
    asking = person(superuser=True)

    with override_settings(VWO_CELERY={"redis_url": f"redis://127.0.0.1:{free_port()}/0"}):
        index, page = asking.get("/admin/"), asking.get(ADMIN)

    assert index.status_code == 200
    assert page.status_code == 503
    assert "cannot be used" in text(page)
    assert "Log out" in text(page)


# --- outside the admin -----------------------------------------------------------------------------


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


# --- sites and checks --------------------------------------------------------------------------------


def test_a_site_of_ones_own_gets_the_page() -> None:
    """`register` gives any admin site the page, once."""
    site = AdminSite("mine")

    register(site)
    register(site)

    assert site.is_registered(EventQueue)


def without(*apps: str) -> list[str]:
    """INSTALLED_APPS without these."""
    return [each for each in django_settings.INSTALLED_APPS if each not in apps]


def ids() -> list[str | None]:
    """The ids of what the system checks find of ours."""
    return [each.id for each in run_checks() if str(each.id).startswith("vwo_celery")]


def test_the_project_passes_the_checks() -> None:
    """Where app, permissions and extra are there, and nobody comes in without a login, all is well."""
    assert ids() == []


def test_a_console_without_its_app_is_an_error() -> None:
    """vwo_celery.E005: URLs lead to the console, and the app that makes its permissions is missing."""
    with override_settings(INSTALLED_APPS=without("vwo_celery.django.console")):
        (found,) = check_access()

    assert found.id == "vwo_celery.E005"
    assert "vwo_celery.django.console" in found.msg


def test_a_console_without_jinja_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """vwo_celery.E006: the extra that renders the pages is not installed."""
    monkeypatch.setattr(console_checks, "find_spec", lambda _: None)

    assert ids() == ["vwo_celery.E006"]


class Generous:
    """Gives everybody every permission."""

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        """Always."""
        return True


def test_a_console_for_anybody_is_a_warning() -> None:
    """vwo_celery.W001: a backend lets those see the console who are not logged in."""
    with override_settings(AUTHENTICATION_BACKENDS=[f"{__name__}.Generous"]):
        assert ids() == ["vwo_celery.W001"]


def test_nothing_is_checked_where_there_is_no_console() -> None:
    """A project that only enqueues hears nothing of the console."""
    with override_settings(
        INSTALLED_APPS=without("vwo_celery.django.console"), ROOT_URLCONF="tools.no_urls"
    ):
        assert check_access() == []


# --- settings of the project ---------------------------------------------------------------------


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


def test_signs_of_life_need_no_login() -> None:
    """The console's `healthz` answers anybody, also where Django demands a login of each view."""
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    extra = [required] if django.VERSION >= (5, 1) else []

    with override_settings(MIDDLEWARE=[*django_settings.MIDDLEWARE, *extra]):
        answer = Client().get(f"{MOUNTED}healthz")

    assert answer.status_code == 200


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
    assert other.post(f"{place}do/pause", form, content_type=kind).status_code == 200


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
