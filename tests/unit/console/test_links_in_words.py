"""Words in which the names of queues lead to their pages, and commands to what does the same here."""

from __future__ import annotations

import pytest

from vwo_celery.console.pages.rendering import with_links
from vwo_celery.console.shared.rights import ROLES


def test_names_within_names_and_within_links_stay_what_they_are() -> None:
    """The longest name is the link; no name is looked for in the letters of another's link."""
    queues = {
        "fme-1": "queues/fme-1",
        "fme-1-eu": "queues/fme-1-eu",
        "href": "queues/href",
        "": "queue",
    }

    found = with_links("fme-1-eu, fme-1 & href", queues)

    assert found == (
        '<a href="queues/fme-1-eu">fme-1-eu</a>, <a href="queues/fme-1">fme-1</a> &amp; '
        '<a href="queues/href">href</a>'
    )


def test_words_and_names_are_escaped() -> None:
    """What would be obeyed is shown, whether it is part of a name or not."""
    assert with_links("<b> and <i>", {"<i>": "queues/%3Ci%3E"}) == (
        '&lt;b&gt; and <a href="queues/%3Ci%3E">&lt;i&gt;</a>'
    )
    assert with_links("<b>", {}) == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("then: vwo-celery resume --queue a-1; or wait",
         'then: <a href="./ask/resume?queues=a-1">Resume…</a>; or wait'),
        ("vwo-celery retry --queue QUEUE", "Retry… on its page"),
        ("see: vwo-celery dead list", 'see: <a href="./dead">Dead letters</a>'),
        ("vwo-celery dead purge", '<a href="./ask/purge">Purge…</a>'),
        ("see: vwo-celery queues", 'see: <a href="./">Overview</a>'),
        ("vwo-celery queues forget --queue a", "vwo-celery queues forget --queue a"),
        ("vwo-celery dead add --batch ID", "vwo-celery dead add --batch ID"),
        ("vwo-celery ledger", "vwo-celery ledger"),
        ("vwo-celery resume --queue <b>",
         '<a href="./ask/resume?queues=%3Cb%3E">Resume…</a>'),
    ],
    ids=lambda each: each[:40],
)  # fmt: skip
def test_a_command_leads_to_what_does_the_same_here(words: str, seen: str) -> None:
    """Where a button does what a remedy names, nobody is told to type; other commands stay."""
    assert with_links(words, {}, "./", ROLES["purge"].__contains__) == seen


def test_nobody_is_led_to_what_they_may_not_do() -> None:
    """A command for which the reader has no right here stays a command; what one may see is a link."""
    words = "vwo-celery resume --queue a, vwo-celery dead list"

    found = with_links(words, {}, "./", ROLES["viewer"].__contains__)

    assert found == 'vwo-celery resume --queue a, <a href="./dead">Dead letters</a>'
