"""deploy/systemd: units that systemd takes, that give little away, with times from the settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.deployed import REDIS_DROP_IN, SYSTEMD, units
from vwo_celery.relay.serving.running import STOP_SECONDS
from vwo_celery.settings import Settings

ANALYZE = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on this machine")
COMPONENTS = sorted(units())
#: Most exposure in tenths, of 100, that systemd-analyze may find.
MOST_EXPOSED = 20
#: How long Celery may wait for a child whose last result it has lost: billiard, 300 times 0.1 s.
POOL_SECONDS = 30
#: The unit of the distribution that ours is a drop-in of.
REDIS_UNIT = "redis-server.service"


def analyze(folder: Path, component: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze about a unit, whose program is one of this machine's."""
    name = f"vwo-celery-{component}.service"
    text = (SYSTEMD / name).read_text("utf-8")
    (folder / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    return subprocess.run(
        [str(ANALYZE), *words, str(folder / name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@with_systemd
@pytest.mark.parametrize("component", COMPONENTS)
def test_systemd_takes_each_unit(tmp_path: Path, component: str) -> None:
    """systemd finds nothing to say about a unit; it exits 0 even where it does not know a key."""
    verified = analyze(tmp_path, component, "verify")

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


@with_systemd
@pytest.mark.parametrize("component", COMPONENTS)
def test_each_unit_gives_little_away(tmp_path: Path, component: str) -> None:
    """systemd's own measure of what a unit could reach stays small."""
    exposed = analyze(
        tmp_path, component, "security", "--offline=yes", f"--threshold={MOST_EXPOSED}"
    )

    assert exposed.returncode == 0, exposed.stdout[-2000:]


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_unit_is_started_again(component: str) -> None:
    """A program that ends is started again, however often; its settings are in one file."""
    unit = units()[component]

    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["EnvironmentFile"] == ["/etc/vwo-celery/environment"]
    for given in unit.get("Environment", ()):
        name, _, value = given.partition("=")
        assert Settings.load(**{name.removeprefix("VWO_CELERY_").lower(): value})


def test_a_worker_that_is_stopped_may_finish() -> None:
    """SIGTERM reaches the main process alone, and SIGKILL comes after its POST and its pool."""
    worker = units()["worker"]

    assert worker["KillMode"] == ["mixed"]
    (stop,) = worker["TimeoutStopSec"]
    assert int(stop) >= Settings().request_timeout_seconds + POOL_SECONDS


def test_a_relay_that_is_stopped_may_answer() -> None:
    """A relay has time for what it has read; SIGHUP has it read its accounts again."""
    relay = units()["relay"]

    assert int(relay["TimeoutStopSec"][0]) > STOP_SECONDS
    assert relay["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_what_units_write_is_a_folder_that_systemd_makes() -> None:
    """The sign of life, the schedule and the spool are in folders of the unit's own."""
    made = {"RuntimeDirectory": "/run/", "StateDirectory": "/var/lib/"}
    for component, unit in units().items():
        folders = {made[key] + name for key in made for name in unit.get(key, ())}
        text = (SYSTEMD / f"vwo-celery-{component}.service").read_text("utf-8")
        for path in re.findall(r"(?:/run|/var/lib)/[\w-]+", text):
            assert path in folders, f"{component}: {path}"


# -- Redis


@with_systemd
@pytest.mark.parametrize("more", ["", "Nonsense=1\n"])
def test_systemd_takes_the_drop_in_of_redis(tmp_path: Path, more: str) -> None:
    """Beside a unit as Debian's, systemd says nothing about ours, but of a key that is none."""
    unit, folder = tmp_path / REDIS_UNIT, tmp_path / f"{REDIS_UNIT}.d"
    unit.write_text("[Unit]\nDescription=x\n[Service]\nType=notify\nExecStart=/bin/true\n")
    folder.mkdir()
    text = re.sub(r"(?m)^ExecStart=/\S+", "ExecStart=/bin/true", REDIS_DROP_IN.read_text("utf-8"))
    (folder / REDIS_DROP_IN.name).write_text(text + more)

    verified = subprocess.run(
        [str(ANALYZE), "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )

    assert ("Nonsense" in verified.stderr, verified.returncode) == (bool(more), 0)
    assert more or not verified.stderr + verified.stdout
