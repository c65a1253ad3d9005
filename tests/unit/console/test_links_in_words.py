"""Words in which the names of queues lead to their pages."""

from __future__ import annotations

from vwo_celery.console.pages.rendering import with_links


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
