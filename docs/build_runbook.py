"""Write the table of docs/how-to/runbook.md from the code: `python docs/build_runbook.py`.

A test builds the page and compares, so neither the page nor the code can change alone.
"""

from __future__ import annotations

from pathlib import Path

from vwo_celery.operating.doctor.kinds import KINDS

PAGE = Path(__file__).parent / "how-to" / "runbook.md"
_START, _END = "<!-- table: findings -->\n", "<!-- end -->"


def build(page: str) -> str:
    """Return *page* with the table between its marks made anew."""
    before, start, rest = page.partition(_START)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError("the page has no marks for the table of findings")
    return before + start + table() + end + after


def table() -> str:
    """List every trouble: its id, its title, the check that finds it, and the alert on it."""
    rows = ["| id | trouble | check | alert |\n", "|---|---|---|---|\n"]
    for name, kind in KINDS.items():
        alert = f"`{kind.alert}`" if kind.alert else f"none: {kind.quiet}"
        rows.append(f"| [{name}](#{name.lower()}) | {kind.title} | {kind.check} | {alert} |\n")
    return "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
