"""The doctor's look at its environment: variables that somebody meant as a setting. Nothing to lose."""

from __future__ import annotations

from collections.abc import Iterator

from vwo_celery.operating.doctor.finding import Finding, warn
from vwo_celery.settings import Settings
from vwo_celery.settings.sources import mistyped_variables


def mistyped_findings() -> Iterator[Finding]:
    """Yield a warning for the variables that are not read, and nearly have a setting's name."""
    near = mistyped_variables(Settings.__struct_fields__)
    if near:
        pairs = ", ".join(f"{variable} (did you mean {meant}?)" for variable, meant in near.items())
        what = f"not read, since no setting has that name: {pairs}"
        yield warn("VC105", what, "correct the name, also where workers and applications have it")
