"""Programs that steps run, whose output is shown only if they fail.

If this process dies, the program is ended with it by the terminal, or ends by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from release.lines import Refused

CHECKOUT = Path(__file__).resolve().parents[1]
#: How uv runs: it downloads no Python, and trusts whom this machine trusts, as pip does.
UV = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "true"}
#: The last lines of a failed program that are shown.
_SHOWN_LINES = 25


def tool(name: str) -> str:
    """Path of a program of the environment that this runs in, such as "twine"."""
    return str(Path(sys.executable).with_name(name))


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path = CHECKOUT,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end.

    Args:
        command: The program's path and its arguments.
        cwd: The folder to run it in.
        environment: Variables besides those of this process.

    Returns:
        What it printed to stdout.

    Raises:
        Refused: It could not be started, or its exit code was not 0; the end of its output says why.
    """
    words = [str(word) for word in command]
    variables = {**os.environ, **(environment or {})}
    try:
        ended = subprocess.run(
            words, cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise Refused(f"{words[0]} could not be started: {exc}") from exc
    if ended.returncode != 0:
        told = (ended.stdout + ended.stderr).strip().splitlines()[-_SHOWN_LINES:]
        raise Refused("\n".join([f"{' '.join(words)}: exit code {ended.returncode}", *told]))
    return ended.stdout
