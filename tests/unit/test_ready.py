"""The checklist for production names troubles that the doctor finds, and all that only a look finds."""

from __future__ import annotations

import re

from tools.docs import DOCS
from vwo_celery.operating.doctor.kinds import AT_DEPLOY, KINDS

CHECKLIST = (
    (DOCS / "how-to" / "ready.md").read_text("utf-8").partition("## What the doctor cannot")[0]
)
ROW = re.compile(r"^\| (?!done |---)(.*) \|$", re.MULTILINE)
LINK = re.compile(r"\[(VC\d{3})\]\(runbook\.md#(vc\d{3})\)")


def test_each_line_is_a_trouble_that_the_doctor_finds() -> None:
    """A line without an id, or with one that there is not, could not be checked by a command."""
    rows = ROW.findall(CHECKLIST)

    named = [LINK.findall(row.rpartition(" | ")[2]) for row in rows]
    assert rows
    assert [row for row, ids in zip(rows, named, strict=True) if not ids] == []
    assert {name for ids in named for name, _ in ids} <= set(KINDS)
    assert [ids for ids in named if any(name.lower() != anchor for name, anchor in ids)] == []


def test_all_that_raises_no_alert_because_it_is_seen_at_a_deploy_is_on_the_list() -> None:
    """Nobody is told later of such a trouble, so whoever deploys must look for it."""
    listed = {name for name, _ in LINK.findall(CHECKLIST)}

    assert {name for name, kind in KINDS.items() if kind.quiet == AT_DEPLOY} <= listed
