"""Copies this checkout without the package: `python tests/copy_checkout.py FOLDER`.

Tests that run in the copy can only import the `vwo_celery` that is installed, which is the wheel.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
_PACKAGE = "vwo_celery"
#: pytest's plugin that comes with the package.
PLUGIN = "pytest_vwo_celery.py"
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", ".git", ".build", ".venv", ".venv-*", ".*_cache", ".hypothesis", "*.egg-info"
)


def copy_checkout(target: Path) -> None:
    """Make *target* anew as a copy of the checkout, without the package and what was built."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    left_out = _LEFT_OUT(str(CHECKOUT), [path.name for path in CHECKOUT.iterdir()]) | {
        _PACKAGE,
        PLUGIN,
    }
    for path in CHECKOUT.iterdir():
        if path.name in left_out:
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=_LEFT_OUT, symlinks=True)
        else:
            shutil.copy2(path, target / path.name)


if __name__ == "__main__":
    copy_checkout(Path(sys.argv[1]))
