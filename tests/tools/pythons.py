"""The supported Pythons that this machine has, and the oldest releases that pyproject allows on each.

As a program it prints the paths of those Pythons, the oldest first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
#: Packages whose lower bounds are a promise; the rest of pyproject only serves our own tools.
_PROMISED = (
    "celery", "kombu", "redis", "requests", "msgspec", "click", "rich", "django", "hiredis",
    "uvicorn", "httptools", "jinja2", "prometheus-client", "opentelemetry-api", "opentelemetry-sdk",
)  # fmt: skip
_REQUIREMENT = re.compile(
    r'"(?P<name>[a-z0-9-]+)(?:\[\w+\])?>=(?P<version>[\d.]+)[^";]*'
    r"(?:; python_version >= '(?P<python>[\d.]+)')?\""
)


def find_python(version: str) -> str | None:
    """A Python of that version: from PATH if it works there, else the newest of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python"), key=_patch, reverse=True)
    named = [path for name in (f"python{version}", "python3") if (path := shutil.which(name))]
    for candidate in [*named, *map(str, installed)]:
        if _runs(candidate, version):
            return candidate
    return None


def find_pythons() -> dict[str, str]:
    """Version to path of each supported Python found here, the oldest first."""
    found = {version: find_python(version) for version in SUPPORTED}
    return {version: path for version, path in found.items() if path is not None}


def oldest_pins(version: str) -> list[str]:
    """The oldest releases that pyproject allows on a Python, such as "redis==5.0.1"."""
    oldest: dict[str, str] = {}
    for line in (CHECKOUT / "pyproject.toml").read_text("utf-8").splitlines():
        for each in _REQUIREMENT.finditer(line):
            if each["name"] in _PROMISED and _number(each["python"] or "0") <= _number(version):
                oldest[each["name"]] = each["version"]
    return [f"{name}=={oldest[name]}" for name in _PROMISED]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _patch(path: Path) -> int:
    patch = path.parents[1].name.rpartition(".")[2]
    return int(patch) if patch.isdecimal() else -1


def _runs(python: str, version: str) -> bool:
    program = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return ran.returncode == 0 and ran.stdout.strip() == version


if __name__ == "__main__":
    print("\n".join(find_pythons().values()))
