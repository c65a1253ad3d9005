"""Folders of the user who runs this process.

Beneath `settings`. Only reads; nothing to lose.
"""

from __future__ import annotations

import os


def state_folder() -> str:
    """Our folder among the user's state (XDG Base Directory Specification); "" if there is none."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = expanded("~/.local/state")
    return os.path.join(state, "vwo-celery") if state else ""


def expanded(folder: str) -> str:
    """Return *folder* with a home in place of its ~; "" if that user has none.

    `os.path.expanduser` then returns the ~ itself, which makes a folder of that name, and takes an
    empty HOME for the root folder.
    """
    if not folder.startswith("~"):
        return folder
    user, _, rest = folder.partition("/")
    has_none = user == "~" and os.environ.get("HOME") == ""
    home = "" if has_none else os.path.expanduser(user)
    return os.path.join(home, rest) if os.path.isabs(home) else ""
