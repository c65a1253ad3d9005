"""Install vwo_celery beside each of VWO's SDKs, as documented, on every supported Python found
here.

The result of pip depends on later releases of other packages: nothing here is pinned, and PyPI is
asked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.pythons import CHECKOUT, find_pythons, oldest_pins

PAGE = CHECKOUT / "docs" / "how-to" / "attach-an-sdk.md"
SDKS = ("vwo-python-sdk", "vwo-fme-python-sdk", "wingify-fme-python-sdk")
PYTHONS = find_pythons()
_PIP_SECONDS = 300


class Environment:
    """A clean environment, and the releases that its pip would install."""

    def __init__(self, python: str, folder: Path) -> None:
        self.folder = folder
        subprocess.run([python, "-m", "venv", str(folder)], check=True, env=_environ())

    def pip(self, *arguments: str) -> str:
        """Run the environment's pip and return its output; an error fails the test with pip's message."""
        ran = subprocess.run(
            [str(self.folder / "bin" / "pip"), "--quiet", "--disable-pip-version-check", *arguments],
            capture_output=True, text=True, timeout=_PIP_SECONDS, check=False, env=_environ(),
        )  # fmt: skip
        assert ran.returncode == 0, f"pip {' '.join(arguments)}:\n{ran.stderr}"
        return ran.stdout

    def would_install(self, *requirements: str) -> dict[str, str]:
        """Name to version of all releases that pip would install for these requirements."""
        answered = self.pip("install", "--dry-run", "--report", "-", *requirements)
        found: list[dict[str, Any]] = [each["metadata"] for each in json.loads(answered)["install"]]
        return {each["name"].lower().replace("_", "-"): each["version"] for each in found}


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module", params=[*PYTHONS])
def version(request: pytest.FixtureRequest) -> str:
    """A supported Python version found on this machine."""
    return str(request.param)


@pytest.fixture(scope="module")
def environment(version: str, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A clean environment of that Python, with the pip that came with it."""
    return Environment(PYTHONS[version], tmp_path_factory.mktemp(version) / "clean")


@pytest.fixture(scope="module")
def wheel() -> str:
    """Our wheel, as built by run.sh."""
    return os.environ["VWO_CELERY_WHEEL"]


@pytest.mark.parametrize(
    ("sdk", "extras"),
    [(SDKS[0], "[django,fast]"), (SDKS[1], "[django,fast]"), (SDKS[2], "")],
)
def test_the_plain_command_finds_releases(
    environment: Environment, wheel: str, sdk: str, extras: str
) -> None:
    """`pip install vwo-celery SDK` finds compatible releases, with and without our extras."""
    found = environment.would_install(wheel + extras, sdk)

    assert {"vwo-celery", sdk, "celery", "kombu", "redis"} <= found.keys()


def test_the_newest_pip_finds_releases_too(wheel: str, tmp_path: Path) -> None:
    """Today's newest pip finds releases for the SDK with the most pins, on the newest Python."""
    environment = Environment([*PYTHONS.values()][-1], tmp_path / "clean")
    environment.pip("install", "--upgrade", "pip")

    found = environment.would_install(wheel, SDKS[0])

    assert {"vwo-celery", SDKS[0], "celery", "kombu", "redis"} <= found.keys()


def test_the_oldest_releases_fit_together(
    environment: Environment, wheel: str, version: str
) -> None:
    """All our lower bounds can be installed together, as wheels."""
    pins = oldest_pins(version)

    found = environment.would_install(f"{wheel}[django,fast,relay]", "--only-binary=:all:", *pins)

    assert {pin.partition("==")[0] for pin in pins} <= found.keys()


def test_the_documented_commands_are_those_of_these_tests() -> None:
    """The page names each SDK once, with the same commands that these tests run."""
    documented = re.findall(r'^pip install "CHECKOUT" (.+)$', PAGE.read_text("utf-8"), re.MULTILINE)

    assert [command.split()[0] for command in documented] == [*SDKS]
    for generation in ("fme", "legacy"):
        assert _unpinned(generation) in documented


def _unpinned(generation: str) -> str:
    lines = (Path(__file__).parents[1] / f"requirements-{generation}.txt").read_text().splitlines()
    wanted = [line.partition("==")[0] for line in lines if not line.startswith("#")]
    return " ".join(f'"{each}"' if "<" in each else each for each in wanted)
