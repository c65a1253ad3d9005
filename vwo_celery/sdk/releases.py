"""The releases of VWO's SDKs that can be attached, and the refusal of one that cannot.

Before stage 1 of an event's way. `attach` reads some parts of an SDK and replaces others. In a
release that lacks one, events would be lost, or go two ways. So all parts are looked for first, and
where one is missing nothing is changed. What is missing decides, not the number of the release:
nobody knows the next ones. Nothing to lose.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vwo_celery.errors import SdkError

#: The releases on PyPI that `make sdk-matrix` has attached, the oldest first.
TESTED: Mapping[str, tuple[str, ...]] = {
    "vwo-fme-python-sdk": (
        "1.21.0", "1.21.1", "1.50.0", "1.55.0", "1.60.0", "1.61.0", "1.62.0", "1.65.0",
    ),
    "wingify-fme-python-sdk": ("1.50.0", "1.55.0", "1.60.0", "1.61.0", "1.62.0", "1.65.0"),
    "vwo-python-sdk": (
        "1.60.0", "1.60.1", "1.62.0", "1.64.0", "1.66.0", "1.66.1", "1.68.1", "1.68.2",
    ),
}  # fmt: skip

#: What one object of an SDK must have: the object's name in messages, itself, names of attributes.
Part = tuple[str, Any, tuple[str, ...]]


def core_of(client_class: type[Any]) -> str:
    """Return the top-level package of a client's SDK: "vwo" or "wingify"; "" if it is none."""
    packages = [base.__module__.partition(".")[0] for base in client_class.__mro__]
    return next((package for package in packages if package in ("vwo", "wingify")), "")


def find(core: str, module: str, name: str = "") -> Any:
    """Return a module of an SDK, or something in it; None if this release has none."""
    try:
        found = importlib.import_module(f"{core}.{module}")
    except ImportError:
        return None
    return getattr(found, name, None) if name else found


def check_parts(parts: Iterable[Part]) -> None:
    """Return if the SDK has all parts; an object that is None has nothing.

    Raises:
        SdkError: It lacks some; names the release, what it lacks and releases that can be attached.
    """
    lacking = [
        f"{owner}.{name}" for owner, holder, names in parts for name in names
        if not hasattr(holder, name)
    ]  # fmt: skip
    if lacking:
        found = _installed()
        releases = [f"{name} {number}" for name, number in found.items()]
        ranges = [
            f'pip install "{name}>={TESTED[name][0]},<={TESTED[name][-1]}"'
            for name in found or TESTED
        ]
        raise SdkError(
            f"{' with '.join(releases) or 'this SDK'} cannot be put on the shared queue: it has no "
            f"{', '.join(lacking)}. The SDK is as it was. Releases that can: {' or '.join(ranges)}; "
            "later ones may need a later vwo-celery"
        )


def _installed() -> dict[str, str]:
    """Find the SDKs' packages in this environment, and their releases."""
    found = {}
    for name in TESTED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
