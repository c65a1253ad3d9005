"""Fields of a hash as text: their names are the same few in every shard, so each is decoded once.

Beneath `counters` and `tallies`, which decode some tens of thousands for one scrape of many queues. Pure:
nothing to lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vwo_celery.queue.words.keys import as_text

#: Most names that are kept; reasons and answers are few, and what a stranger wrote drops out again.
_MOST_NAMES = 1024

#: A field's name as text.
name_of = lru_cache(_MOST_NAMES)(as_text)


def texts_of(fields: Mapping[Any, Any]) -> dict[str, str]:
    """A hash of Redis with its names and values as text."""
    return {name_of(field): as_text(value) for field, value in fields.items()}
