"""A block of code that is wrong is found, in each language."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.blocks import Block, blocks_of, examples_in, run_block

WRONG = {
    "python": "import vwo_celery\nvwo_celery.no_such_name",
    "sh": "if true; then",
    "console": "$ vwo-celery plan --help\nanother output",
    "yaml": "a: [1, 2",
    "json": '{"a": 1,}',
    "ini": "no section = 1",
    "nginx": "proxy_pas http://127.0.0.1:1;",
}
WRONG_MANIFEST = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: 80}\n"
WRONG_SCALED = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nspec: {minReplicas: 0}\n"


def block(language: str, text: str) -> Block:
    """A block of a page."""
    return Block(Path("page.md"), 1, language, text)


@pytest.mark.parametrize(
    ("language", "text"),
    [*WRONG.items(), ("sh", "vwo-celery stauts"), ("console", "$ rm -r x\n"),
     ("yaml", WRONG_MANIFEST), ("yaml", WRONG_SCALED), ("python", "await no_such_name()")],
)  # fmt: skip
def test_a_wrong_block_is_found(language: str, text: str, tmp_path: Path) -> None:
    """It fails the test of its page."""
    with pytest.raises(Exception):  # noqa: B017, PT011 - each language has errors of its own
        run_block(block(language, text), {}, tmp_path)


def test_commands_of_the_page_are_run(tmp_path: Path) -> None:
    """What a session shows is compared, with an ellipsis for what may be anything."""
    run_block(
        block("console", "$ vwo-celery plan --help\nUsage: vwo-celery plan …\n"), {}, tmp_path
    )
    run_block(
        block("sh", "vwo-celery web\nvwo-celery pause --queue QUEUE  # a reader's"), {}, tmp_path
    )


def test_blocks_are_found_as_commonmark_has_them(tmp_path: Path) -> None:
    """With their language, also within lists, and with the comment that stands before them."""
    page = tmp_path / "page.md"
    page.write_text(
        "1. one\n\n    ```sh\n    ls\n    ```\n\n"
        "<!-- not run: a\nreason -->\n```go\nx\n```\n\n```\ny\n```\n"
    )

    found = list(blocks_of(page))

    assert [(each.language, each.text) for each in found] == [
        ("sh", "ls\n"),
        ("go", "x\n"),
        ("", "y\n"),
    ]
    assert [each.instead for each in found] == [None, ("not run", "a reason"), None]


def test_examples_of_docstrings_are_found(tmp_path: Path) -> None:
    """Indented code is; a list of arguments and a command are none."""
    module = tmp_path / "module.py"
    module.write_text('"""A.\n\n    celery -A x worker\n\nB:\n\n    x = 1\n"""\n')

    assert [each.text for each in examples_in(module)] == ["x = 1\n"]
