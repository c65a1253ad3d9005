"""Check the workflow that publishes: its form, and what people break into workflows by.

Its own promises (pinned actions, few rights) are tested in `tests/unit/release`. Nothing is asked of
the network, so whether a pinned commit is the one that its comment names stays open.
"""

from __future__ import annotations

from release.commands import CHECKOUT, run, tool

WORKFLOWS = CHECKOUT / ".github" / "workflows"


def check_workflows() -> str:
    """Let check-jsonschema and zizmor read the workflows, as strictly as they can.

    Raises:
        Refused: One of them found something.
    """
    paths = sorted(WORKFLOWS.glob("*.yml"))
    run([tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *paths])
    run([tool("zizmor"), "--offline", "--persona", "pedantic", *paths])
    return f"{', '.join(path.name for path in paths)}: of the right form, nothing found"
