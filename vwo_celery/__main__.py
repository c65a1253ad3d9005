"""`python -m vwo_celery`: the operator's command, also where its script is not on PATH."""

from __future__ import annotations

from vwo_celery.cli import main

if __name__ == "__main__":
    main(prog_name="python -m vwo_celery")
