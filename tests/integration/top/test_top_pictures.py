"""The pictures of `vwo-celery top` in docs/pictures are what is drawn of a made-up fleet."""

from __future__ import annotations

import re

import pytest
import textual

from tools.docs import load_builder
from tools.terminals import SMALL, drawn, text_of

builder = load_builder("build_top")
PICTURES = {each.file: each for each in builder.PICTURES}
#: The release of textual that drew the pictures; another one may have other colours.
DREW = "8."
COLOR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})")


@pytest.mark.parametrize("file", PICTURES)
def test_the_picture_shows_what_is_drawn(file: str) -> None:
    """Letter by letter, and with the same colours; to mend it: `make docs`."""
    kept = (builder.FOLDER / file).read_text("utf-8")
    now = builder.draw(PICTURES[file])

    assert text_of(now) == text_of(kept)
    if textual.__version__.startswith(DREW):
        assert drawn(now) == drawn(kept)
    assert "url(http" not in kept


@pytest.mark.parametrize("file", PICTURES)
def test_a_small_terminal_is_enough(file: str) -> None:
    """With 80 columns and 24 lines the head, rows and all keys are there."""
    lines = text_of(builder.draw(PICTURES[file], SMALL)).split("\n")

    assert lines[0].startswith(" vwo-celery top · may operate")
    assert lines[-1].endswith("q Quit")
    assert sum("fme-" in line or "ready" in line for line in lines) >= 2


def test_no_word_needs_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR all is grey, bright enough to be read, and says the same."""
    colored = builder.draw(PICTURES["top-overview.svg"])
    monkeypatch.setenv("NO_COLOR", "1")

    grey = builder.draw(PICTURES["top-overview.svg"])

    assert text_of(grey) == text_of(colored)
    texts = [each for line in drawn(grey) for each in line.values() if each[0].strip()]
    colors = [match.groups() for _, style in texts for match in COLOR.finditer(style)]
    assert colors
    assert all(red == green == blue for red, green, blue in colors)
    words = {text.strip(): style for text, style in texts}
    assert all(
        int(COLOR.findall(words[word])[0][0], 16) > 0x80 for word in ("declined", "stopped", "ok")
    )


def test_the_verdict_comes_first() -> None:
    """Above charts and queues: what is wrong, and what to do about it."""
    text = text_of(builder.draw(PICTURES["top-overview.svg"]))

    order = ["2 problems, 1 warning", "VC612", "→ mend what it says", "delivered/s", "5 queues"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
