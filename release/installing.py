"""Install the release from the local index, as a user would, and run the smoke program there.

pip installs it without an extra, as the docs say it; uv, which is fast, each extra. Either takes us
from the local index alone, and all else from the machine's. The environments stay for the next look.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from release.commands import UV, run, tool
from release.index import PACKAGE
from release.lines import Refused

SMOKE = Path(__file__).with_name("smoke.py")


def install_by_pip(python: str, folder: Path, index: str, version: str) -> Path:
    """Make an environment with the venv and pip of a Python, and install us without an extra.

    Args:
        python: Path of the interpreter.
        folder: The environment, made anew.
        index: URL of the local index.
        version: Ours.

    Returns:
        Path of the environment's interpreter.

    Raises:
        Refused: Something could not be installed, or does not fit together.
    """
    run([python, "-m", "venv", "--clear", folder])
    inside = folder / "bin" / "python"
    pip: list[str | Path] = [inside, "-m", "pip", "--disable-pip-version-check"]
    own = f"{PACKAGE}=={version}"
    run([*pip, "install", "--no-deps", "--no-cache-dir", "--index-url", index, own])
    run([*pip, "install", own])
    run([*pip, "check"])
    return inside


def install_by_uv(python: str, folder: Path, index: str, version: str, extras: str) -> Path:
    """Make an environment with uv, and install us with extras; as `install_by_pip` otherwise."""
    shutil.rmtree(folder, ignore_errors=True)
    uv = [tool("uv"), "--quiet"]
    run([*uv, "venv", "--python", python, folder], environment=UV)
    inside = folder / "bin" / "python"
    # uv asks the first index that has a package, and no other; ours comes before the machine's.
    run([
        *uv, "pip", "install", "--python", inside, "--index", index,
        "--refresh-package", PACKAGE, f"{PACKAGE}[{extras}]=={version}",
    ], environment=UV)  # fmt: skip
    run([*uv, "pip", "check", "--python", inside], environment=UV)
    return inside


def smoke(python: Path, extra: str, version: str, redis_url: str) -> str:
    """Run the smoke program in an environment; returns its last line.

    Raises:
        Refused: It failed; its output is in the message.
    """
    told = run(
        [python, "-I", SMOKE, extra or "core", version],
        cwd=SMOKE.parent,
        environment={"VWO_CELERY_REDIS_URL": redis_url, "VWO_CELERY_SPOOL_DIR": ""},
    )
    if not told.strip():
        raise Refused(f"{SMOKE.name} {extra} said nothing")
    return told.strip().splitlines()[-1]
