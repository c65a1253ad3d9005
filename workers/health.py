"""`python -m workers.health [beat|alive|self]`: `vwo-celery health` under its name in a checkout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vwo_celery.cli import main as vwo_celery

_OPTIONS: dict[tuple[str, ...], list[str]] = {
    (): ["health"],
    **{(each,): ["health", f"--{each}"] for each in ("beat", "alive", "self")},
}


def main(words: Sequence[str]) -> None:
    """Print one line and exit with the code of `vwo-celery health`."""
    options = _OPTIONS.get(tuple(words))
    if options is None:
        sys.stdout.write("usage: python -m workers.health [beat|alive|self]\n")
        sys.exit(2)
    vwo_celery(options, prog_name="vwo-celery")


if __name__ == "__main__":
    main(sys.argv[1:])
