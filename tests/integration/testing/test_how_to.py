"""The examples of docs/how-to/test-your-code.md run as they stand there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tools.docs import DOCS
from tools.user_tests import examples, passed, run_tests, write_files
from vwo_celery.testing import Capture, CapturedEvent, InlineDelivery, Standin
from vwo_celery.testing.inline import Deliveries

PAGE = DOCS / "how-to" / "test-your-code.md"
EXAMPLES = DOCS.parent / "examples"
LEGACY = "the environment of the legacy SDK"  # its tests are in tests/sdk
_TIMEOUT_SECONDS = 240


@pytest.fixture
def files() -> dict[str, dict[str, str]]:
    """The page's files, by place."""
    return examples(PAGE)


def test_every_example_has_a_place(files):
    """An example that nobody runs would be missed: each of the page is a file of one of these places."""
    count = PAGE.read_text("utf-8").count("```python")

    assert set(files) == {"", "examples/fastapi", "examples/django", LEGACY}
    assert sum(map(len, files.values())) == count


def test_the_examples_with_pytest_run(files, tmp_path):
    """Those of the SDK, of trouble, of inline delivery, and without pytest, side by side."""
    write_files(tmp_path, files[""])
    shutil.copy2(EXAMPLES / "django" / "vwo_settings.json", tmp_path)

    assert passed(run_tests(tmp_path)) == 8


def test_the_example_for_fastapi_runs(files, tmp_path):
    """A test of the example application, whose Redis does not run."""
    shutil.copy2(EXAMPLES / "fastapi" / "shop.py", tmp_path)
    write_files(tmp_path, files["examples/fastapi"])

    ended = run_tests(tmp_path, env={"VWO_CELERY_REDIS_URL": "redis://127.0.0.1:1/0"})

    assert passed(ended) == 1


def test_the_example_for_django_runs(files, tmp_path):
    """Django's own test runner, on the example project."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "django", project)
    write_files(project, files["examples/django"])

    ended = subprocess.run(
        [sys.executable, "manage.py", "test"],
        cwd=project, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS,
        env={**os.environ, "SHOP_REDIS_URL": "redis://127.0.0.1:1/0", "VWO_PROXY_URL": ""},
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Ran 2 tests" in ended.stderr


def test_the_page_names_what_there_is():
    """Methods and fixtures that the page's tables name exist; those of results are all named."""
    text = PAGE.read_text("utf-8")

    for name in ("name", "visitor", "is_of", "properties", "attributes", "json", "encoded"):
        assert hasattr(CapturedEvent, name)
        assert f".{name}" in text
    for name in ("one", "named", "of", "names", "clear", "answer_with"):
        assert hasattr(Capture, name)
        assert f".{name}" in text
    for name in ("fail", "heal", "events", "batches", "disagreements"):
        assert hasattr(Standin, name)
        assert f"`.{name}" in text
    for name in Deliveries.__struct_fields__:
        assert f"`{name}`" in text
    assert hasattr(InlineDelivery, "resume")
