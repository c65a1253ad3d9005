"""The checks that follow each test fail when they must."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vwo_celery

TESTS = Path(__file__).parents[2]

SAMPLE = """
import subprocess
import pytest
from vwo_celery import logs

SHARD = "vwo:1:{fme-7-abc:0}:"

def test_undeclared(redis):
    redis.lpush(SHARD + "open", "event")

@pytest.mark.declared_keys("open", "batch", "other:*")
def test_declared(redis):
    redis.lpush(SHARD + "open", "event")
    redis.lpush(SHARD + "batch:17", "event")
    redis.set("other:thing", 1)

def test_declared_late(redis, declared_keys):
    redis.lpush("vwo:1:wakeups", "x")
    declared_keys("wakeups")

def test_lasting(redis):
    redis.hset("vwo:1:queues", "fme-7-abc", "{}")
    redis.hset(SHARD + "meta", "accepted", 1)

def test_empty_at_first(redis):
    assert redis.dbsize() == 0

def test_process_left():
    subprocess.Popen(["sleep", "2"])

def test_process_ended():
    subprocess.run(["true"], check=True)

@pytest.mark.parametrize("time", range(2))
def test_said_seldom(time):
    assert logs.seldom.warn("a topic", "a line")
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The outcomes that pytest reports for the sample."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "test_sample.py").write_text(SAMPLE)
    path = [str(TESTS), str(Path(vwo_celery.__file__).parents[1])]
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "pyproject.toml"), "-p", "conftest",
            "--rootdir", str(folder), "-rA", str(folder / "test_sample.py"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )  # fmt: skip
    return ran.stdout


@pytest.mark.parametrize(
    ("test", "ends"),
    [
        ("test_undeclared", "ERROR"),
        ("test_declared", "PASSED"),
        ("test_declared_late", "PASSED"),
        ("test_lasting", "PASSED"),
        ("test_empty_at_first", "PASSED"),
        ("test_process_left", "ERROR"),
        ("test_process_ended", "PASSED"),
        ("test_said_seldom[1]", "PASSED"),
    ],
)
def test_leftovers_fail_a_test(outcomes: str, test: str, ends: str) -> None:
    """Undeclared keys and running processes are errors; what one test says, the next says again."""
    summary = outcomes.partition("short test summary info")[2]
    lines = [line for line in summary.splitlines() if line.split(" - ")[0].endswith(f"::{test}")]

    assert any(line.startswith(ends) for line in lines), outcomes
    assert ends == "ERROR" or not any(line.startswith("ERROR") for line in lines)


def test_the_error_names_the_keys(outcomes: str) -> None:
    """A left key is named, with the remedy."""
    assert "vwo:1:{fme-7-abc:0}:open" in outcomes
    assert "declared_keys" in outcomes
