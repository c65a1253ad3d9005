"""Fixtures of all tests: one real Redis for the run, VWO's stand-in, and checks after each test."""

from __future__ import annotations

import fnmatch
import os
import shutil
import signal
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_py
from click.testing import Result

from tools.command_line import run_command
from tools.queue_states import Queues
from tools.rabbit import has_rabbitmq
from vwo_celery import logs
from vwo_celery.queue.words.keys import (
    FLEET_FAMILIES,
    KEY_VERSION,
    RELAY_FAMILIES,
    SHARD_FAMILIES,
)
from vwo_celery.testing import RedisServer, Standin

if os.environ.get("VWO_CELERY_TEST_ACL"):
    from tools.acl_users import _nothing_was_denied, _users_of_roles  # noqa: F401

NAMESPACE = "vwo"

#: Key families that stay by design: registrations, counters, signs of life.
LASTING_FAMILIES = (
    "queues",
    "shards",
    "pulse",
    "listeners",
    "workers",
    "meta",
    "mark",
    "circuit",
    "suspect",
    "settled",
    "audit",
    "jobs",
    "job",
    "relays",
    "relay_cards",
    "history:minute",
    "history:ten_minutes",
    "history:hour",
    "balances",
    "tally",
)
#: Patterns of keys that any test may leave in Redis; it must declare all others.
ALLOWED_KEYS = [*LASTING_FAMILIES, "_kombu.binding.*"]

_FAMILY_PATTERNS = {
    **{f.pattern.removesuffix(":*"): f"*:{KEY_VERSION}:{{*}}:{f.pattern}" for f in SHARD_FAMILIES},
    **{f.pattern.removesuffix(":*"): f"*:{KEY_VERSION}:{f.pattern}" for f in FLEET_FAMILIES},
    **{f.pattern.removesuffix(":*"): f"*:{KEY_VERSION}:{f.pattern}" for f in RELAY_FAMILIES},
}
_lasting_pids: set[int] = set()
_REPORT = pytest.StashKey[pytest.TestReport]()
_MOST_KEYS_SHOWN = 20
#: Examples for each property under Hypothesis' profile "quick"; the suite has Hypothesis' default.
QUICK_EXAMPLES = 5

#: Tests that need a server which PyPI does not have; the report's head says if they are left out.
_ON_RABBITMQ = ["acceptance/test_rabbitmq.py", "acceptance/test_rabbitmq_page.py"]
collect_ignore = [] if has_rabbitmq() else _ON_RABBITMQ


#: Tests that need a browser, and packages of their own: only a run that names them has them.
_IN_BROWSER = Path(__file__).parent / "browser"


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Lines for the head of pytest's report: what is left out on this machine, or in this run."""
    lines = []
    if collect_ignore:
        what = ", ".join(collect_ignore)
        lines = [f"left out, no rabbitmq-server here (apt-get install it): {what}"]
    if not _asks_for_browser(config):
        lines += ["left out, for `make browser`: the console in a browser"]
    return lines


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests in a browser out of a run that does not name them."""
    return True if collection_path == _IN_BROWSER and not _asks_for_browser(config) else None


def _asks_for_browser(config: pytest.Config) -> bool:
    named = [Path(each.partition("::")[0]).absolute() for each in config.args]
    return any(each.is_relative_to(_IN_BROWSER) for each in named)


try:
    import hypothesis
except ImportError:
    pass  # the SDKs' environments hold no more than their tests need
else:
    # No deadline, since machines are shared; no database, since a run leaves no file behind.
    hypothesis.settings.register_profile("suite", deadline=None, database=None)
    # For a quick look while writing: pytest --hypothesis-profile=quick.
    hypothesis.settings.register_profile(
        "quick", hypothesis.settings.get_profile("suite"), max_examples=QUICK_EXAMPLES
    )
    hypothesis.settings.load_profile("suite")


# A run that a shell put into the background ignores Ctrl-C, and so would each program that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_real_home() -> Iterator[None]:
    """Keep every spool of the run out of the user's own state folder."""
    with _state_folder():
        yield


@pytest.fixture(autouse=True)
def _own_state_folder() -> Iterator[None]:
    """Give each test its own spools; a drainer ends when its spool is gone."""
    with _state_folder():
        yield


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see what a process says seldom, whatever another test made this one say."""
    monkeypatch.setattr(logs.seldom, "_logged_at", OrderedDict())


@contextmanager
def _state_folder() -> Iterator[None]:
    before, folder = os.environ.get("XDG_STATE_HOME"), tempfile.mkdtemp(prefix="vwo-celery-state-")
    os.environ["XDG_STATE_HOME"] = folder
    yield
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real Redis server for the whole run; if there is none, the tests that need it fail."""
    with RedisServer() as server:
        _lasting_pids.add(server.pid)
        yield server


@pytest.fixture
def redis_url(redis: redis_py.Redis, redis_server: RedisServer) -> str:
    """URL of an empty database that is this test's own."""
    return redis_server.url


@pytest.fixture
def redis(
    request: pytest.FixtureRequest, redis_server: RedisServer, declared_keys: DeclaredKeys
) -> Iterator[redis_py.Redis]:
    """A client for an empty database; keys left behind fail the test unless they are declared."""
    client: redis_py.Redis = redis_py.Redis.from_url(redis_server.url)
    client.flushall()
    yield client

    left = sorted(key.decode("utf-8", "replace") for key in client.scan_iter(count=1_000))
    client.close()
    report = request.node.stash.get(_REPORT, None)
    if report is not None and report.passed:
        _check_keys(left, declared_keys.patterns)


@pytest.fixture
def queues(redis_url: str) -> Queues:
    """Queues in this test's Redis, in whatever state the test brings them to."""
    return Queues(redis_url)


class DeclaredKeys:
    """Keys that a test leaves behind on purpose; call it with families or patterns."""

    def __init__(self) -> None:
        self.patterns = list(ALLOWED_KEYS)

    def __call__(self, *patterns: str) -> None:
        """Declare more: names of key families (such as "open") or patterns of whole keys."""
        self.patterns.extend(patterns)


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`vwo-celery` on this test's Redis, without settings from this machine's environment."""
    for name in [name for name in os.environ if name.startswith("VWO_CELERY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "500")
    return lambda *words, text=None: run_command(("--redis-url", redis_url, *words), text)


@pytest.fixture
def declared_keys(request: pytest.FixtureRequest) -> DeclaredKeys:
    """Keys that may stay in Redis: the lasting families, and those of the marker `declared_keys`."""
    declared = DeclaredKeys()
    for marker in request.node.iter_markers("declared_keys"):
        declared(*marker.args)
    return declared


def _check_keys(left: list[str], patterns: list[str]) -> None:
    globs = [_FAMILY_PATTERNS.get(pattern, pattern) for pattern in patterns]
    known = {key for key in left if any(fnmatch.fnmatchcase(key, glob) for glob in globs)}
    # These two repeat what the lines of info say, so they stay where these may.
    lined = {key.removesuffix(":info") for key in known if key.endswith(":info")}
    known |= {f"{shard}:{name}" for shard in lined for name in ("births", "released")}
    undeclared = [key for key in left if key not in known]
    if undeclared:
        shown = "\n  ".join(undeclared[:_MOST_KEYS_SHOWN])
        pytest.fail(
            f"{len(undeclared)} keys were left in Redis that the test did not declare:\n  {shown}\n"
            'declare them: @pytest.mark.declared_keys("open", …) or declared_keys("*:open")',
            pytrace=False,
        )


@pytest.fixture
def standin() -> Iterator[Standin]:
    """A stand-in for VWO on a free port that accepts any account."""
    with Standin() as running:
        yield running


@pytest.fixture
def captures() -> Path:
    """The folder of requests recorded from VWO's own SDKs."""
    return Path(__file__).parent / "data" / "captures"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test's body ended, for the checks that follow it."""
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


@pytest.fixture(autouse=True)
def _no_child_process_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process running."""
    before = _children()
    yield
    report = request.node.stash.get(_REPORT, None)
    if report is not None and report.passed:
        started = {pid: _command(pid) for pid in _children() - before}
        left = {pid: command for pid, command in started.items() if not _lasts(pid, command)}
        assert not left, f"processes were left running: {left}"


def _lasts(pid: int, command: str) -> bool:
    return pid in _lasting_pids or "multiprocessing.resource_tracker" in command


def _children() -> set[int]:
    """Our child processes; empty where /proc does not list them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in task.read_text().split())
        except OSError:
            continue  # that thread has just ended
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
