"""A licence that nobody has read does not get into a release: refused, unless it is excepted by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from release.licences import Excepted, Licences, read_licences

LIST = Licences(
    frozenset({"MIT", "Apache-2.0", "PSF-2.0"}),
    {
        "certifi": Excepted("MPL-2.0", "needed"),
        "silent": Excepted("MIT in its file LICENSE", "it declares nothing"),
    },
)


def refusals(name: str, *licences: dict[str, Any]) -> list[str]:
    """What is said of a bill with one component."""
    return LIST.refusals({"components": [component(name, *licences)]})


def component(name: str, *licences: dict[str, Any]) -> dict[str, Any]:
    """A component as CycloneDX writes it."""
    return {"name": name, "version": "1.0", "licenses": list(licences)}


def by_id(licence: str) -> dict[str, Any]:
    """A licence that CycloneDX knows."""
    return {"license": {"id": licence, "acknowledgement": "declared"}}


def by_name(licence: str) -> dict[str, Any]:
    """A licence as a package spells it."""
    return {"license": {"name": licence}}


def test_a_licence_that_nobody_allowed_is_refused() -> None:
    """Copyleft, an unknown name and no licence at all: each is refused, with the package's name."""
    assert refusals("readline", by_id("GPL-3.0-only")) == ["readline 1.0: GPL-3.0-only"]
    assert refusals("own", by_name("Our Terms"), by_id("MIT")) == ["own 1.0: Our Terms"]
    assert refusals("bare") == ["bare 1.0 declares no licence"]
    assert refusals("fine", by_id("MIT")) == []


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT AND PSF-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-2.0-only OR GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only OR PSF-2.0", True),
        ("MIT OR GPL-3.0-only AND GPL-2.0-only", True),
        ("MIT AND (GPL-3.0-only OR PSF-2.0)", False),
    ],
)
def test_expressions(expression: str, *, allowed: bool) -> None:
    """Of AND each part must be allowed, of OR one; AND binds closer; a person reads what is nested."""
    assert (refusals("two", {"expression": expression}) == []) is allowed


def test_an_exception_is_for_one_package_and_one_licence() -> None:
    """Another package with that licence, or the package with another one, is refused."""
    spelled = "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"

    assert refusals("certifi", by_id("MPL-2.0"), by_name(spelled)) == []
    assert refusals("Certifi", by_id("MPL-2.0")) == []
    assert refusals("silent") == []
    assert refusals("requests", by_id("MPL-2.0")) == ["requests 1.0: MPL-2.0"]
    assert refusals("certifi", by_id("GPL-3.0-only")) == ["certifi 1.0: GPL-3.0-only"]
    assert refusals("silent", by_id("GPL-3.0-only")) == ["silent 1.0: GPL-3.0-only"]


def test_exceptions_that_nothing_needs_are_found() -> None:
    """Once a package is gone, so must be its exception."""
    assert LIST.unused(["Certifi", "requests"]) == ["silent"]


def test_no_copyleft_is_allowed_to_all() -> None:
    """Our list allows nobody a licence that binds its users, and gives each exception a reason."""
    licences = read_licences()

    assert not [each for each in licences.allowed if "GPL" in each or "MPL" in each]
    assert all(each.reason for each in licences.excepted.values())
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"allowed": [], "excepted": {"a": {"licence": "MIT"}}}, Licences)
