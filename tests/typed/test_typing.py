"""mypy and pyright find each wrong name and type in an application, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import vwo_celery

APPLICATION = Path(__file__).with_name("application.py")
PACKAGES = Path(vwo_celery.__file__).parents[1]
_TIMEOUT_SECONDS = 300
#: The folder of the package where that is a checkout: checkers look for what is installed by themselves.
CHECKOUT = [str(PACKAGES)] if Path(sysconfig.get_path("purelib")) != PACKAGES else []


def wrong_lines() -> set[int]:
    """Numbers of the lines that are marked."""
    lines = enumerate(APPLICATION.read_text("utf-8").splitlines(), 1)
    return {number for number, line in lines if line.endswith("# wrong")}


def mypy(folder: Path) -> dict[int, str]:
    """mypy's errors in the application, by line."""
    said = _run(
        folder, "mypy", "--strict", "--config-file=", f"--cache-dir={folder}", str(APPLICATION),
        MYPYPATH=os.pathsep.join(CHECKOUT),
    )  # fmt: skip
    found = re.findall(rf"{re.escape(APPLICATION.name)}:(\d+): error: (.*)", said)
    assert found or "Success" in said, said
    return {int(number): text for number, text in found}


def pyright(folder: Path) -> dict[int, str]:
    """pyright's errors in the application, by line."""
    shutil.copy(APPLICATION, folder)  # it reads only files beneath its project
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps({"typeCheckingMode": "strict", "extraPaths": CHECKOUT}))
    said = _run(
        folder, "pyright", "--outputjson", f"--pythonpath={sys.executable}", f"--project={project}",
        PYRIGHT_PYTHON_IGNORE_WARNINGS="1",
    )  # fmt: skip
    found = json.loads(said)["generalDiagnostics"]
    assert json.loads(said)["summary"]["filesAnalyzed"] == 1, said
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found}


def _run(folder: Path, *words: str, **env: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False,
        timeout=_TIMEOUT_SECONDS, env={**os.environ, **env},
    )  # fmt: skip
    return ran.stdout or ran.stderr


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_type_checker_finds_what_is_wrong(checker: object, tmp_path: Path) -> None:
    """A misspelled keyword, setting or batch option, and a value of a wrong type, in each function."""
    assert callable(checker)
    found = checker(tmp_path)

    assert set(found) == wrong_lines(), found
    assert len(wrong_lines()) > 20
