"""A file that an operator names and that cannot be made is told with its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vwo_celery.operating.batches.new_files import FileRefused, NewFile


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """Somebody who mistyped the folder sees it in the error."""
    folder = tmp_path / "missing"

    with pytest.raises(FileRefused) as caught:
        NewFile(folder / "dead.jsonl")

    told = f"'dead.jsonl' cannot be made in '{folder}': No such file or directory"
    assert str(caught.value) == told
