"""The Celery queue of our tasks, as a worker's configuration names it."""

from __future__ import annotations

from typing import Any

import pytest

from vwo_celery.celery.broker.target import target_of


@pytest.mark.parametrize(
    ("configuration", "target"),
    [
        ({}, "celery"),
        ({"task_default_queue": "shop"}, "shop"),
        ({"task_routes": {"vwo_celery.deliver": "events"}}, "events"),
        ({"task_routes": {"vwo_celery.*": {"queue": "events"}}}, "events"),
        ({"task_routes": [{"other.*": "x"}, [["vwo_celery.*", {"queue": "events"}]]]}, "events"),
        ({"task_routes": {"other.*": "x"}, "task_default_queue": "shop"}, "shop"),
        ({"task_routes": "<function route>"}, None),
        ({"task_routes": ["<function route>"]}, None),
    ],
)
def test_the_queue_is_found_as_celery_finds_it(
    configuration: dict[str, Any], target: str | None
) -> None:
    """A route comes before the default queue; where a function decides, it is not known."""
    assert target_of(configuration) == target
