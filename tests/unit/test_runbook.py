"""The runbook has a section for each trouble that the doctor may find, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vwo_celery
from tools.docs import load_builder
from vwo_celery.connections.remedies import TROUBLES
from vwo_celery.operating.doctor.connection import KINDS_OF_TROUBLES
from vwo_celery.operating.doctor.kinds import KINDS

builder = load_builder("build_runbook")
PAGE = builder.PAGE.read_text("utf-8")
PACKAGE = Path(vwo_celery.__file__).parent
#: What each section tells, in this order.
PARTS = ["On the screen", "Means", "Events meanwhile", "Do", "Mended when"]


def sections() -> dict[str, str]:
    """The sections of the runbook, by their ids."""
    parts = re.split(r"^### (VC\d{3})$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_table_equals_the_code() -> None:
    """The page's table equals the code's; `make docs` updates it."""
    assert builder.build(PAGE) == PAGE


def test_the_words_on_the_screen_lead_to_each_trouble() -> None:
    """The first table has a row for each trouble, and is not made where a section quotes no words."""
    first = PAGE.partition("<!-- end -->")[0]

    assert re.findall(r"\[(VC\d{3})\]\(#vc\d{3}\) \|$", first, re.MULTILINE) == list(KINDS)
    with pytest.raises(ValueError, match="VC401"):
        builder.build(PAGE.replace("- *On the screen*: *no worker", "- *Seen*: *no worker"))


def test_each_trouble_has_its_section() -> None:
    """The sections are those of the table, in its order, under the same titles."""
    found = sections()

    assert list(found) == list(KINDS)
    for name, text in found.items():
        assert f"**{KINDS[name].title}**" in text
        assert re.findall(r"^- \*([A-Z][\w ]+)\*", text, re.MULTILINE) == PARTS, name


def test_each_trouble_is_raised_somewhere() -> None:
    """No id stands in the table alone: code raises each, and raises no other."""
    sources = [
        *(PACKAGE / "operating" / "doctor").rglob("*.py"),
        PACKAGE / "cli" / "looks" / "doctor.py",
    ]
    text = "\n".join(each.read_text("utf-8") for each in sources if each.name != "kinds.py")

    assert set(re.findall(r'"(VC\d{3})"', text)) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_each_trouble_has_an_alert_or_a_reason(name: str) -> None:
    """A trouble has the name of an alert, or a reason for none."""
    kind = KINDS[name]

    assert bool(kind.alert) is not bool(kind.quiet)
    assert re.fullmatch("[A-Za-z]*", kind.alert)
    assert not kind.title.endswith(".")


def test_each_trouble_with_redis_has_its_finding() -> None:
    """The doctor knows each kind of trouble that the mapping of errors tells apart."""
    assert set(KINDS_OF_TROUBLES) == set(TROUBLES)
    assert set(KINDS_OF_TROUBLES.values()) <= set(KINDS)
