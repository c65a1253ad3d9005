"""Rows that do not fit into a table: blocks of lines, none longer than the terminal is wide."""

from __future__ import annotations

import pytest

from vwo_celery.cli.shared.output import Column, Row, print_rows

COLUMNS = [Column(name) for name in ("queue", "some", "of", "the", "longer", "names")]
ROW = Row(["q" * 70, "4,000", "22", "7", "123,456", "1"])


def test_the_lines_of_a_block_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign that another value follows has its room at the end of a line, at any width."""
    for width in range(20, 60):
        monkeypatch.setenv("COLUMNS", str(width))

        print_rows(COLUMNS, [ROW])

        lines = [line.strip(" q") for line in capsys.readouterr().out.splitlines()]
        assert "·" not in lines, width
        assert " ".join(lines).count("·") == len(COLUMNS) - 2
