"""The warnings of the parser of batch_event_data, in each of its tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from vwo_celery.logs import log_once
from vwo_celery.settings import batch_event_data


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The parser's warnings, in a process that has logged nothing yet."""
    monkeypatch.setattr(batch_event_data, "_once", log_once())
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vwo_celery").addHandler(handler)
    yield messages

    logging.getLogger("vwo_celery").removeHandler(handler)
