"""Lines of the logger of batches, read back."""

from __future__ import annotations

import json
import re

_WORD = re.compile(r'(?:^| )([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ ]*)')


def parsed(line: str) -> dict[str, str]:
    """The facts of a line by name, as texts."""
    return {
        name: json.loads(value) if value.startswith('"') else value
        for name, value in _WORD.findall(line)
    }
