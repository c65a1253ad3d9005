"""The tables of a page, each between marks, put in their places; for the scripts beside this file."""

from __future__ import annotations

from collections.abc import Mapping

BEGIN, END = "<!-- table: {name} -->\n", "<!-- end -->"


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables between their marks.

    Args:
        page: The page's text.
        tables: The text of each table, by its name.

    Raises:
        ValueError: The page has no marks for one of them.
    """
    for name, table in tables.items():
        before, start, rest = page.partition(BEGIN.format(name=name))
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"the page has no marks for the table {name}")
        page = before + start + table + end + after
    return page
