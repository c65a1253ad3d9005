"""`vwo-celery health`, as a container runs it, and its counterpart in a checkout, `workers.health`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result

import vwo_celery
from tools.command_line import run_command
from tools.queue_states import Queues
from vwo_celery.operating.doctor.workers import start_worker
from vwo_celery.operating.looks.alive import HUNG_SECONDS, give_sign
from vwo_celery.operating.looks.health import Health

REPOSITORY = Path(__file__).parents[3]
PACKAGES = Path(vwo_celery.__file__).parents[1]
FRONT = (sys.executable, "-m", "workers.health")
NO_WORKER = (
    "→ start one: celery -A vwo_celery.celery.app worker; in your own app: vwo_celery.setup(app)"
)
pytestmark = pytest.mark.declared_keys(
    "watched", "open", "batch", "wakeups", "slots", "ready", "info"
)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with these settings and no others."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("VWO_CELERY_")}
    env = {**clean, "PYTHONPATH": f"{PACKAGES}{os.pathsep}{REPOSITORY}", **variables}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def command(*words: str, **variables: str) -> Result:
    """Run the command `vwo-celery` with these settings and no others, in this process."""
    clean = {name: None for name in os.environ if name.startswith("VWO_CELERY_")}
    return run_command(words, **{**clean, **variables})


def check_health(*words: str, **variables: str) -> tuple[int, list[str]]:
    """The exit code and the output lines of `vwo-celery health`."""
    ran = command("health", *words, **variables)
    assert ran.stderr == ""
    return ran.exit_code, ran.stdout.splitlines()


def test_the_health_of_the_fleet_is_its_exit_code(redis_url: str) -> None:
    """Exit code 0 if events leave in time, 1 if the oldest pending one is far over its interval."""
    queues = Queues(redis_url)
    queue = queues.add()
    queues.fill(queue, 1)
    queues.fleet.note_listener("worker:1")

    well = check_health(VWO_CELERY_REDIS_URL=redis_url)
    queues.age_open(queue, 500)
    queues.fleet.note_listener("worker:1")  # the command may have taken long
    code, (line, remedy) = check_health("--redis-url", redis_url)

    assert well == (0, ["healthy: 1 worker listens, 1 event pending"])
    assert code == 1
    assert line.startswith(f"unhealthy: queue {queue.name}: the oldest of 1 pending event is 7 min")
    assert remedy == "→ vwo-celery doctor says what is wrong"


def test_events_without_a_worker_are_unhealthy(redis_url: str) -> None:
    """Events without a worker are unhealthy; the second line is the command that starts one."""
    queues = Queues(redis_url)
    queues.fill(queues.add(), 1)

    found = check_health(VWO_CELERY_REDIS_URL=redis_url)

    assert found == (1, ["unhealthy: no worker listens, and 1 event pending", NO_WORKER])


def test_health_as_json(redis_url: str) -> None:
    """The JSON of health has the same shape whatever is found."""
    queues = Queues(redis_url)

    well = command("health", "--json", VWO_CELERY_REDIS_URL=redis_url)
    queues.fill(queues.add(), 1)
    ill = command("--json", "health", VWO_CELERY_REDIS_URL=redis_url)
    beat = command("health", "--beat", "--json", VWO_CELERY_REDIS_URL=redis_url)
    away = command("health", "--json", VWO_CELERY_REDIS_URL="redis://127.0.0.1:1")

    assert [each.exit_code for each in (well, ill, beat, away)] == [0, 1, 1, 1]
    assert json.loads(well.stdout) == {
        "healthy": True, "problems": [], "remedy": "", "listeners": 0, "pending": 0,
        "stopped": [], "relays": 0, "unreadable": [],
    }  # fmt: skip
    assert json.loads(ill.stdout) == {
        "healthy": False,
        "problems": ["no worker listens, and 1 event pending"],
        "remedy": start_worker(),
        "listeners": 0,
        "pending": 1,
        "stopped": [],
        "relays": 0,
        "unreadable": [],
    }
    for each in (beat, away):
        shown = json.loads(each.stdout)
        assert shown.keys() == json.loads(well.stdout).keys()
        assert len(shown["problems"]) == 1
        assert (shown["healthy"], shown["listeners"], shown["pending"]) == (False, None, None)


def test_beat_is_well_when_its_sweeps_are_run(redis_url: str) -> None:
    """beat is unhealthy if only a listener sweeps in its place, although events keep moving."""
    queues = Queues(redis_url)

    never = check_health("--beat", VWO_CELERY_REDIS_URL=redis_url)
    queues.fleet.note_sweep("listener")
    replaced = check_health("--beat", VWO_CELERY_REDIS_URL=redis_url)
    queues.fleet.note_sweep("beat")
    seen = check_health("--beat", VWO_CELERY_REDIS_URL=redis_url)

    assert (never[0], replaced[0], seen[0]) == (1, 1, 0)
    assert never[1][0].startswith("unhealthy: beat has never been seen")
    assert never[1][1].startswith("→ start one: celery -A vwo_celery.celery.app beat")
    assert len(seen[1]) == 1
    assert seen[1][0].startswith("healthy: beat had the queues swept")


@pytest.mark.parametrize("words", [("beat",), ("--beats",), ("--queue", "one")])
def test_a_check_of_something_else_is_wrong_usage(words: tuple[str, ...]) -> None:
    """A misspelt check is wrong usage and not a healthy result."""
    ran = command("health", *words)

    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("Usage: vwo-celery health")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"VWO_CELERY_REDIS_URL": "redis://:sekrit@127.0.0.1:1/0"},
            "redis://…@127.0.0.1:1/0 cannot",
        ),
        ({"VWO_CELERY_REDIS_URL": "redis://:sekrit@localhost:port"}, "cannot be used"),
        ({"VWO_CELERY_REDIS_URL": "redis+cluster://:sekrit@127.0.0.1:1"}, "cannot be used"),
        ({"VWO_CELERY_LEASE_SECONDS": "1"}, "VWO_CELERY_LEASE_SECONDS"),
    ],
)
@pytest.mark.parametrize("option", [(), ("--beat",)], ids=["queues", "beat"])
def test_what_cannot_be_known_is_unhealthy(
    variables: dict[str, str], words: str, option: tuple[str, ...]
) -> None:
    """Redis out of reach or wrong settings are unhealthy; no password, no traceback."""
    code, lines = check_health(*option, **variables)

    assert code == 1
    assert lines[0].startswith("unhealthy: ")
    assert words in lines[0]
    assert len(lines) <= 2
    assert "sekrit" not in "".join(lines)


def test_a_probe_is_quick_to_start() -> None:
    """health starts fast: it imports no Celery, no HTTP library and no output of other commands."""
    heavy = {"celery", "kombu", "requests", "rich", "django"}
    program = (
        "import sys\nfrom vwo_celery.cli import main\n"
        "try: main(['health'])\n"
        f"except SystemExit: print(*sorted({heavy!r} & set(sys.modules)))"
    )

    ran = run(sys.executable, "-c", program, VWO_CELERY_REDIS_URL="redis://127.0.0.1:1")

    assert ran.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("words", "options"), [((), ()), (("beat",), ("--beat",))], ids=["queues", "beat"]
)
def test_a_checkout_has_it_under_another_name(
    redis_url: str, words: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """`python -m workers.health [beat]` answers as the command does."""
    queues = Queues(redis_url)
    queues.fill(queues.add(), 1)

    ill = run(*FRONT, *words, VWO_CELERY_REDIS_URL=redis_url)
    same = command("health", *options, VWO_CELERY_REDIS_URL=redis_url)
    queues.fleet.note_listener("worker:1")
    queues.fleet.note_sweep("beat")
    well = run(*FRONT, *words, VWO_CELERY_REDIS_URL=redis_url)

    assert (ill.returncode, ill.stdout) == (same.exit_code, same.stdout)
    assert ill.returncode == 1
    assert (well.returncode, well.stdout[:8]) == (0, "healthy:")


@pytest.mark.parametrize("asked", ["alive", "self"])
def test_a_checkout_asks_for_its_own_worker(redis_url: str, tmp_path: Path, asked: str) -> None:
    """`python -m workers.health alive` and `self` look at the worker that writes this file."""
    variables = {"VWO_CELERY_REDIS_URL": redis_url, "VWO_CELERY_ALIVE_FILE": str(tmp_path / "file")}
    none = run(*FRONT, asked, **variables)
    give_sign(tmp_path / "file", "worker:1")
    Queues(redis_url).fleet.note_listener("worker:1")

    well = run(*FRONT, asked, **variables)

    assert (none.returncode, well.returncode) == (1, 0)
    assert "worker:1" in well.stdout


def test_a_worker_is_hung_when_its_listener_has_not_turned(tmp_path: Path) -> None:
    """`--alive` asks the file alone: without Redis, it fails once the sign is 45 seconds old."""
    file = tmp_path / "alive"
    variables = {"VWO_CELERY_REDIS_URL": "redis://127.0.0.1:1", "VWO_CELERY_ALIVE_FILE": str(file)}
    give_sign(file, "worker:1")

    fresh = check_health("--alive", **variables)
    grow_older(file, HUNG_SECONDS + 1)
    hung = check_health("--alive", **variables)

    assert (fresh[0], fresh[1][0][:34]) == (0, "alive: the listener of worker:1 tu")
    assert hung == (
        1,
        [
            "unhealthy: the listener of worker:1 turned 46 s ago, and should each second",
            "→ restart this worker",
        ],
    )


def test_a_clock_that_was_set_back_hides_no_hung_worker(tmp_path: Path) -> None:
    """One that lives writes its next sign by the new time; the old sign is of a worker that does not."""
    file = tmp_path / "alive"
    give_sign(file, "worker:1")
    grow_older(file, -HUNG_SECONDS - 60)

    code, (line, remedy) = check_health("--alive", VWO_CELERY_ALIVE_FILE=str(file))

    assert code == 1
    assert "ahead of this host's clock, which was set back" in line
    assert remedy == "→ restart this worker"


def grow_older(file: Path, seconds: float) -> None:
    """Let a sign of life be older than it is."""
    at = time.time() - seconds
    os.utime(file, (at, at))


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no worker has given a sign of life yet"), (b"\xff", "cannot be read")],
    ids=["none", "junk"],
)
@pytest.mark.parametrize("option", ["--alive", "--self"])
def test_a_sign_that_is_not_there(
    tmp_path: Path, option: str, content: bytes | None, words: str
) -> None:
    """A file that is missing, or something else, is unhealthy in words."""
    file = tmp_path / "alive"
    if content is not None:
        file.write_bytes(content)

    code, (line, remedy) = check_health(option, VWO_CELERY_ALIVE_FILE=str(file))

    assert code == 1
    assert words in line
    assert remedy.startswith("→ ")


@pytest.mark.parametrize("option", ["--alive", "--self"])
def test_a_probe_that_is_told_no_file(option: str) -> None:
    """Without the setting, the remedy names its variable."""
    code, lines = check_health(option)

    assert (code, lines[1]) == (
        1,
        "→ set VWO_CELERY_ALIVE_FILE, the same for the worker and for this probe",
    )


def test_a_worker_that_the_fleet_does_not_hear(redis_url: str, tmp_path: Path) -> None:
    """`--self` passes for the fleet that hears this worker; another worker, or namespace, is not it."""
    file = tmp_path / "alive"
    give_sign(file, "worker:1")
    variables = {"VWO_CELERY_REDIS_URL": redis_url, "VWO_CELERY_ALIVE_FILE": str(file)}
    fleet = Queues(redis_url).fleet

    fleet.note_listener("worker:2")
    other = check_health("--self", **variables)
    fleet.note_listener("worker:1")
    heard = check_health("--self", **variables)
    elsewhere = check_health("--self", VWO_CELERY_NAMESPACE="other", **variables)

    assert [other[0], heard[0], elsewhere[0]] == [1, 0, 1]
    assert "namespace other" in elsewhere[1][0]


def test_a_checkout_refuses_other_words() -> None:
    """A misspelt check is wrong usage in a checkout as well."""
    ran = run(*FRONT, "beets")

    assert (ran.returncode, ran.stdout) == (
        2,
        "usage: python -m workers.health [beat|alive|self]\n",
    )


def test_the_line_of_many_queues_stays_short() -> None:
    """A probe's line names some queues of many, and counts the others; the document names all."""
    stopped = tuple(f"queue q{n} stopped" for n in range(200))

    well = str(Health((), 1, 0, stopped))
    ill = str(Health(("late",) * 30, 1, 0, stopped))

    assert "queue q4 stopped; and 195 more queues" in well
    assert "q5 " not in well
    assert ill.count("late") == 5
