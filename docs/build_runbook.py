"""Write the tables of docs/how-to/runbook.md: `python docs/build_runbook.py`.

One leads from the words on the screen, as each section quotes them, to the section; the other lists
the ids of the code. A test builds the page and compares, so neither the page nor the code can
change alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from page_tables import filled

from vwo_celery.operating.doctor.kinds import KINDS

PAGE = Path(__file__).parent / "how-to" / "runbook.md"
_SECTION = re.compile(r"^### (VC\d{3})$", re.MULTILINE)
_WORDS = re.compile(r"^- \*On the screen\*: (.*?)(?=^- \*)", re.MULTILINE | re.DOTALL)


def build(page: str) -> str:
    """Return *page* with the tables between its marks made anew."""
    return filled(page, {"words": words_table(page), "findings": table()})


def words_table(page: str) -> str:
    """List the words on the screen, what they mean, and where the section is.

    Raises:
        ValueError: A trouble of the code has no section, or its section quotes no words.
    """
    parts = _SECTION.split(page)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    rows = ["| words on the screen | trouble | section |\n", "|---|---|---|\n"]
    for name, kind in KINDS.items():
        said = _WORDS.search(sections.get(name, ""))
        if said is None:
            raise ValueError(f"the runbook quotes no words of {name}")
        words = " ".join(said[1].split()).replace("|", "\\|")
        rows.append(f"| {words} | {kind.title} | [{name}](#{name.lower()}) |\n")
    return "".join(rows)


def table() -> str:
    """List every trouble: its id, its title, the check that finds it, and the alert on it."""
    rows = ["| id | trouble | check | alert |\n", "|---|---|---|---|\n"]
    for name, kind in KINDS.items():
        alert = f"`{kind.alert}`" if kind.alert else f"none: {kind.quiet}"
        rows.append(f"| [{name}](#{name.lower()}) | {kind.title} | {kind.check} | {alert} |\n")
    return "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
