"""docs/reference/values.md: every example of its table, with the real libraries."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pandas as pd
import pendulum
import pytest
import starlette.datastructures
import yarl
from django.utils.safestring import SafeString
from freezegun.api import FakeDate, FakeDatetime
from pydantic import BaseModel, HttpUrl, SecretStr, TypeAdapter

from vwo_celery.errors import EventError
from vwo_celery.events import encode

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "values.md"
BEGIN, END = "<!-- values: each example is tried, with the real libraries -->", "<!-- end -->"
DROPPED = "dropped: "


@dataclasses.dataclass
class Point:
    x: int


class Order(BaseModel):
    total: Decimal


NAMES: dict[str, Any] = {
    "Decimal": Decimal, "FakeDate": FakeDate, "FakeDatetime": FakeDatetime, "Fraction": Fraction,
    "HTTPStatus": HTTPStatus, "HttpUrl": HttpUrl, "Order": Order, "Point": Point,
    "PurePosixPath": PurePosixPath, "SafeString": SafeString, "SecretStr": SecretStr,
    "TypeAdapter": TypeAdapter, "UUID": UUID,
    "httpx": httpx, "ip_address": ip_address, "np": np, "pd": pd,
    "pendulum": pendulum, "starlette": starlette, "yarl": yarl,
}  # fmt: skip


def rows() -> list[tuple[str, str]]:
    """Example and result of each row."""
    table = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    cells = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return [(row[-2].strip("`"), row[-1].strip("`")) for row in cells]


def in_django(example: str) -> bool:
    """Whether the example needs a Django project, which only a process of its own can have."""
    return "Group" in example or "gettext_lazy" in example


@pytest.mark.parametrize(
    ("example", "result"), [row for row in rows() if not in_django(row[0])], ids=str
)
def test_the_table_of_values_is_true(example: str, result: str) -> None:
    """Each example is written as the table says, or dropped for the reason that it says."""
    value = eval(compile(ast.parse(example, mode="eval"), str(PAGE), "eval"), NAMES)
    event = {"d": {"value": [value]}}

    if result.startswith(DROPPED):
        with pytest.raises(EventError) as refused:
            encode(event)
        assert result.removeprefix(DROPPED) in str(refused.value)
        assert "d.value[0]" in str(refused.value)
    else:
        written = encode(event).decode()
        beside_a_surrogate = encode({"odd": "\udfff", **event}).decode()
        assert written == f'{{"d":{{"value":[{result}]}}}}'
        assert beside_a_surrogate == f'{{"odd":"\\udfff",{written[1:]}'


PROJECT = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"])
import django; django.setup()
from django.contrib.auth.models import Group
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from vwo_celery.events import encode
for example in EXAMPLES:
    print(encode({"value": eval(example)}).decode())
"""


def test_the_table_of_values_is_true_in_a_django_project() -> None:
    """So are the rows with models and lazy texts of Django."""
    expected = {example: result for example, result in rows() if in_django(example)}
    program = PROJECT.replace("EXAMPLES", repr([*expected]))

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert len(expected) == 4
    assert ran.stdout.splitlines() == [f'{{"value":{each}}}' for each in expected.values()], (
        ran.stderr
    )
