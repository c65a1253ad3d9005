"""The suite on every Python found, at both ends of the supported versions: `make test-all`.

Arguments go to pytest. Each combination has its environment in .build/matrix, of about 300 MB, kept for
the next run.
Says at the end what ran, how it ended, and which combinations this machine could not offer; exits 1
if one failed, and 2 if there was nothing to run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
#: Name to what pip is asked for; the oldest is what VWO's legacy SDK pins, with the Celery that takes it.
VERSIONS = {"oldest": ("redis==5.0.1", "celery==5.5.*"), "newest": ()}
_CLOSING_LINE = re.compile(r"^\d+ (?:passed|failed|error|skipped|deselected).*$", re.MULTILINE)


def find_python(version: str) -> str | None:
    """A Python of that version: from PATH if it works there, else the newest of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python"), key=_patch, reverse=True)
    named = shutil.which(f"python{version}")
    for candidate in [*([named] if named else []), *map(str, installed)]:
        if _runs(candidate, version):
            return candidate
    return None


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


def run_suite(
    python: str, name: str, pins: tuple[str, ...], arguments: list[str]
) -> tuple[bool, str]:
    """Run the suite in the environment *name*; whether it passed, and pytest's closing line."""
    home = f".build/matrix/{name}"
    make = os.environ.get("MAKE", "make")
    command = [
        make, "--no-print-directory", "suite", f"PYTHON={python}", f"BUILD={home}",
        f"VENV_TEST={home}/venv", f"PINS={shlex.join(pins)}", f"ARGS={shlex.join(arguments)}",
    ]  # fmt: skip
    print(f"== {name}: {python} {' '.join(pins)}", flush=True)
    # Our make's own variables would reach its make, and would win there.
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        output += line
    closing = _CLOSING_LINE.findall(output)
    return process.wait() == 0, closing[-1] if closing else "ended before the tests did"


def main(arguments: list[str]) -> int:
    """Run every combination; the exit code."""
    results: dict[str, tuple[bool, str]] = {}
    missing = []
    for version in PYTHONS:
        python = find_python(version)
        for end, pins in VERSIONS.items():
            name = f"{version}-{end}"
            if python is None:
                missing.append(name)
            else:
                results[name] = run_suite(python, name, pins, arguments)
    print("\n== all combinations")
    for name, (passed, closing) in results.items():
        print(f"{name:<14} {'passed' if passed else 'FAILED'}   {closing}")
    for name in missing:
        print(f"{name:<14} not run: no such Python here")
    if not results:
        return 2
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
