"""The releases of VWO's SDKs stand in one list, and the pages say what the matrix made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdk import matrix
from vwo_celery.errors import SdkError
from vwo_celery.sdk.releases import TESTED, check_parts, core_of, find

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "attach-an-sdk.md").read_text("utf-8")
TABLE = matrix.PAGE.read_text("utf-8").partition("<!-- table: releases -->\n")[2]
ROW = re.compile(r"^\| (\S+) (\d[\d.]*) \| (.+) \|$", re.MULTILINE)


def test_the_matrix_has_every_tested_release() -> None:
    """What is said to be tested is what `make sdk-matrix` attaches, in order of age."""
    attached: dict[str, list[str]] = {}
    for release in matrix.releases():
        if release.works:
            attached.setdefault(release.package, []).append(release.version)

    assert attached == {package: [*versions] for package, versions in TESTED.items()}
    for versions in attached.values():
        assert versions == sorted(versions, key=lambda each: [*map(int, each.split("."))])


@pytest.mark.parametrize("package", TESTED)
def test_the_how_to_names_the_range_that_is_tested(package: str) -> None:
    """From the oldest to the newest release of the list."""
    row = re.search(rf"^\| {package}(?: \(legacy\))? \| ([\d.]+) to ([\d.]+) \|$", HOW_TO, re.M)

    assert row is not None
    assert row.groups() == (TESTED[package][0], TESTED[package][-1])


def test_the_table_has_every_release_with_the_result_that_it_must_have() -> None:
    """A release that is added or that fails leaves the table wrong until the matrix has run."""
    said = {
        (package, version): set(cells.split(" | "))
        for package, version, cells in ROW.findall(TABLE)
    }

    assert list(said) == [(release.package, release.version) for release in matrix.releases()]
    for release in matrix.releases():
        cells = said[release.package, release.version]
        if release.works:
            assert cells == {"attached"}
        else:
            assert all(cell.startswith("refused: it has no `") for cell in cells)


def test_the_short_form_has_both_ends_of_each_generation() -> None:
    """Four releases of each: the oldest, the newest, and two in between."""
    chosen = matrix.choose([matrix.SHORT_WORD], {})

    versions: dict[str, list[str]] = {}
    for release, _ in chosen:
        versions.setdefault(release.package, []).append(release.version)
    for package, four in versions.items():
        assert len(set(four)) == matrix.SHORT
        assert (four[0], four[-1]) == (TESTED[package][0], TESTED[package][-1])
    assert {*versions} == {"vwo-fme-python-sdk", "vwo-python-sdk"}


def test_the_full_form_has_every_release_on_both_ends_of_the_pythons() -> None:
    """Without a word, each release runs on the oldest and on the newest Python that is here."""
    pythons = {"3.9": "a", "3.11": "b", "3.13": "c"}

    chosen = matrix.choose([], pythons)

    assert chosen == [(each, end) for end in ("3.9", "3.13") for each in matrix.releases()]


def test_an_unknown_release_is_named() -> None:
    """A typing error does not pass for a run without failures."""
    with pytest.raises(SystemExit, match=r"vwo-python-sdk==9\.9"):
        matrix.choose(["vwo-python-sdk==9.9"], {"3.11": "python"})


def test_all_that_a_release_lacks_is_named_at_once() -> None:
    """Objects and attributes that are not there, and releases that can be attached."""
    with pytest.raises(SdkError) as caught:
        check_parts([("client", object(), ("flush", "__doc__")), ("Constants", None, ("NAME",))])

    assert "it has no client.flush, Constants.NAME. The SDK is as it was." in str(caught.value)
    assert 'pip install "vwo-fme-python-sdk>=1.21.0,<=' in str(caught.value)


def test_whose_client_it_is_shows_in_the_modules_of_its_classes() -> None:
    """An application's subclass is of the SDK; what is named alike in another package is not."""
    vendors = type("VWOClient", (), {"__module__": "vwo.vwo_client"})
    another = type("VWOClient", (), {"__module__": "vwo_tools.client"})

    assert core_of(type("Own", (vendors,), {"__module__": "shop"})) == "vwo"
    assert core_of(another) == ""


def test_what_a_release_has_not_is_found_as_nothing() -> None:
    """A module or a name that is missing is None, no error."""
    assert find("vwo_celery", "no_such_module", "Name") is None
    assert find("vwo_celery", "errors", "NoSuchError") is None
    assert find("vwo_celery", "errors", "SdkError") is SdkError
