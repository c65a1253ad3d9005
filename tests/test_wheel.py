"""Under `make test`, the tests run against the built wheel and not the checkout."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

import vwo_celery

PACKAGE = Path(vwo_celery.__file__).parent


@pytest.mark.skipif(
    os.environ.get("VWO_CELERY_TEST_WHEEL") != "1", reason="only where the wheel is tested"
)
def test_the_installed_package_is_tested() -> None:
    """The package under test is the one in site-packages, installed from the wheel."""
    site_packages = Path(sysconfig.get_path("purelib")).resolve()

    assert PACKAGE.resolve().parent == site_packages


def test_the_package_is_typed() -> None:
    """Type checkers of other projects may use our annotations."""
    assert (PACKAGE / "py.typed").is_file()
