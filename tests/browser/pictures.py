"""`make pictures`: the console as the documentation shows it, photographed in a real browser.

    python -m browser.pictures FOLDER       takes each picture of `PICTURES`

Behind the pages stands the fleet in trouble of `tools.troubled_fleet`, whose past is made. Beside the
pictures goes `made-from.txt`, a digest of all that a page looks like by: a test compares it, so that no
picture stays that shows what is no more.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import vwo_celery
from tools.browsers import NO_BROWSER, find_browser, new_context, running_browser
from tools.console_doors import Door, make_door
from tools.troubled_fleet import (
    DEAD,
    FAILING,
    OPERATOR,
    RATES,
    WELL,
    TroubledFleet,
    event,
    troubled_fleet,
)
from tools.waiting import wait_until
from vwo_celery.operating.operations import flush, pause, resume
from vwo_celery.operating.past.audit import Actor
from vwo_celery.testing import RedisServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MADE_FROM: Final = "made-from.txt"
#: Folders of the console whose files decide what a page looks like.
_LOOKS: Final = ("charts", "pages", "static", "templates")
DESKTOP: Final = {"width": 1280, "height": 800}
TALL: Final = {"width": 1280, "height": 1400}
PHONE: Final = {"width": 390, "height": 844}
_LI: Final = Actor("li", "console", "10.1.2.3")


class Picture(NamedTuple):
    """One picture.

    Attributes:
        name: Of its file, without .png.
        door: Name of the door that it is taken through.
        path: Address of the page below the first one, made from the fleet.
        window: Size of the window.
        scheme: "light" or "dark".
        whole: Whether all of the page is shown, or what the window shows.
    """

    name: str
    door: str
    path: Callable[[TroubledFleet], str]
    window: dict[str, int] = DESKTOP
    scheme: str = "light"
    whole: bool = True


def _first(_: TroubledFleet) -> str:
    return ""


def _at(path: str) -> Callable[[TroubledFleet], str]:
    return lambda _: path


def _of(pattern: str, account: int) -> Callable[[TroubledFleet], str]:
    return lambda fleet: pattern.format(queue=fleet.queues[account].name)


PICTURES: Final = (
    Picture("overview-light", "bare", _first),
    Picture("overview-dark", "bare", _first, scheme="dark", whole=False),
    Picture("overview-phone", "bare", _first, PHONE, "dark", whole=False),
    Picture("queue", "bare", _of("queue?name={queue}", FAILING), TALL, whole=False),
    Picture("queue-phone", "bare", _of("queue?name={queue}", FAILING), PHONE, whole=False),
    Picture("dead", "bare", _at("dead")),
    Picture("dead-ask", "bare", _of("ask/redrive?filter=queue:{queue}", DEAD)),
    Picture("workers", "bare", _at("workers")),
    Picture("settings", "bare", _at("settings"), whole=False),
    Picture("audit", "bare", _at("audit")),
    Picture("admin-light", "django", _first, whole=False),
    Picture("admin-dark", "django", _first, scheme="dark", whole=False),
)


def digest() -> str:
    """A digest of all files that decide what the console looks like."""
    console = Path(vwo_celery.__file__).parent / "console"
    files = sorted(
        path for name in _LOOKS for path in (console / name).rglob("*") if _is_source(path)
    )
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(console)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _is_source(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc"


def take(browser: Browser, picture: Picture, door: Door, fleet: TroubledFleet) -> bytes:
    """The picture, as a PNG file."""
    context = new_context(
        browser, viewport=picture.window, color_scheme=picture.scheme,
        reduced_motion="reduce", **door.entry("purge"),
    )  # fmt: skip
    page = context.new_page()
    page.goto(f"{door.url}{picture.path(fleet)}")
    _wait_for_verdict(page)
    taken = page.screenshot(full_page=picture.whole)
    context.close()
    return taken


def _wait_for_verdict(page: Page) -> None:
    """Until the doctor, who looks beside the requests, has looked."""
    while "doctor is looking" in page.inner_text("body"):
        page.wait_for_timeout(500)
        page.reload()


@contextmanager
def _doors(fleet: TroubledFleet, folder: Path) -> Iterator[dict[str, Door]]:
    names = {each.door for each in PICTURES}
    doors = {}
    try:
        for name in names:
            own = folder / name
            own.mkdir()
            doors[name] = make_door(name, own, fleet.env)
            doors[name].start()
        yield doors
    finally:
        for each in doors.values():
            each.stop()


def _let_time_pass(fleet: TroubledFleet) -> None:
    """Let beat have swept, which it does each ten seconds, so that no page says it never has."""
    pulse = fleet.fleet.keys.pulse
    wait_until(lambda: fleet.fleet.client.hget(pulse, "beat"), 20, what="beat's first sweep")


def _operate(fleet: TroubledFleet) -> None:
    """Let some changes have been made, for the audit."""
    name = fleet.queues[WELL].name
    pause(fleet.fleet, _LI, {name: fleet.registered[name]}, "deploy of the shop")
    resume(fleet.fleet, _LI, {name: fleet.registered[name]})
    flush(fleet.fleet, OPERATOR, [name])


@contextmanager
def _busy(fleet: TroubledFleet) -> Iterator[None]:
    """Applications go on meanwhile, at the rates of the past, so that no chart ends with nothing."""
    over = threading.Event()

    def enqueue() -> None:
        for number in count():
            for account in (WELL, FAILING):
                events = [event("purchase", number)] * round(RATES[account])
                fleet.queues[account].enqueue_many(events)
            if over.wait(1.0):
                return

    thread = threading.Thread(target=enqueue, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def main(folder: Path) -> None:
    """Take all pictures."""
    path = find_browser()
    if path is None:
        sys.exit(NO_BROWSER)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as made,
        RedisServer(arguments=("--appendonly", "yes")) as redis,
        troubled_fleet(redis.url, Path(made)) as fleet,
        _busy(fleet),
        _doors(fleet, Path(made)) as doors,
        running_browser(path) as browser,
    ):
        _let_time_pass(fleet)
        _operate(fleet)
        for each in PICTURES:
            (folder / f"{each.name}.png").write_bytes(take(browser, each, doors[each.door], fleet))
            print(each.name)
    (folder / MADE_FROM).write_text(f"{digest()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
