"""The OpenAPI document, made from the questions, the actions and their structs. Nothing to lose."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from vwo_celery.console.actions import ACTIONS, Action
from vwo_celery.console.api.question import BASE, Question
from vwo_celery.console.api.questions import QUESTIONS

#: Version of the API's paths and of what stands at them.
VERSION: Final = "1"
_REFERENCE: Final = "#/components/schemas/{name}"
_PIECE: Final = re.compile(r"{(\w+)}")
_ATTRIBUTE: Final = re.compile(r"    (\w+): (.*)")
_REFUSED: Final = {
    "400": "A field, or the filter, cannot be read; nothing was changed.",
    "401": "It is not known who asks.",
    "403": "Whoever asks may not do this.",
    "404": "There is no such queue, batch or job.",
    "409": "What is there now keeps it from being done.",
    "429": "Too many wrong secrets came from this address.",
    "503": "Redis, or the broker, cannot be used.",
}


class Trouble(msgspec.Struct, frozen=True):
    """Why a request was not answered.

    Attributes:
        error: What is true now.
        remedy: What to do, "" for nothing.
    """

    error: str
    remedy: str


@cache
def describe() -> dict[str, Any]:
    """The document."""
    types = [
        Trouble,
        *(each.gives for each in QUESTIONS),
        *(part for each in ACTIONS.values() for part in (each.takes, each.gives)),
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    structs: dict[str, type] = {}
    for info in msgspec.inspect.multi_type_info(types):
        _structs(info, structs)
    paths: dict[str, dict[str, Any]] = {}
    for question in QUESTIONS:
        paths[f"/{BASE}/{question.path}"] = {"get": _asked(question, by_type[id(question.gives)])}
    for action in ACTIONS.values():
        path = paths.setdefault(f"/{BASE}/{action.name}", {})
        path["post"] = _done(action, by_type[id(action.takes)], by_type[id(action.gives)])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vwo-celery", "version": VERSION,
            "description": "What the console shows and changes, for programs.",
        },
        "servers": [{"url": "../.."}],
        "security": [{"token": []}, {"password": []}],
        "paths": paths,
        "components": {
            "schemas": {
                name: _with_words(components[name], structs.get(name)) for name in sorted(components)
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }  # fmt: skip


def _asked(question: Question, gives: Mapping[str, Any]) -> dict[str, Any]:
    pieces = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PIECE.findall(question.path)
    ]
    fields = [
        {
            "name": each.name, "in": "query", "description": each.meaning,
            "schema": {"type": "array", "items": {"type": "string"}} if each.many else {"type": "string"},
        }
        for each in question.fields
    ]  # fmt: skip
    return {
        "summary": question.meaning,
        "operationId": "get_" + re.sub(r"\W+", "_", question.path).strip("_"),
        "x-right": question.right.value,
        "parameters": [*pieces, *fields],
        "responses": _responses(gives),
    }


def _done(action: Action, takes: Mapping[str, Any], gives: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "summary": action.meaning,
        "operationId": re.sub(r"\W+", "_", action.name),
        "x-right": action.right.value,
        "requestBody": {"content": {"application/json": {"schema": takes}}},
        "responses": _responses(gives, action.kind),
    }


def _responses(gives: Mapping[str, Any], kind: str = "application/json") -> dict[str, Any]:
    trouble = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Trouble")}}}
    told = {
        status: {"description": words, "content": trouble} for status, words in _REFUSED.items()
    }
    good = {"description": "The answer.", "content": {kind: {"schema": gives}}}
    return {"200": good, **told}


# -- words of the structs


def _structs(info: Any, found: dict[str, type]) -> dict[str, type]:
    """The structs within a type, as msgspec describes it, by their names."""
    if isinstance(info, msgspec.inspect.StructType):
        if info.cls.__name__ in found:
            return found
        found[info.cls.__name__] = info.cls
    for name in getattr(info, "__struct_fields__", ()):
        part = getattr(info, name)
        for each in part if isinstance(part, tuple) else (part,):
            if isinstance(each, (msgspec.inspect.Type, msgspec.inspect.Field)):
                _structs(each, found)
    return found


def _with_words(schema: Mapping[str, Any], struct: type | None) -> dict[str, Any]:
    """A schema whose fields are described as in the docstrings of its struct, and of its bases."""
    bases = struct.__mro__ if struct else ()
    words = {name: text for each in reversed(bases) for name, text in _attributes(each).items()}
    summary = inspect.cleandoc(schema.get("description", "")).partition("\n\n")[0]
    properties = {
        name: {**each, "description": words[name]} if name in words else each
        for name, each in schema.get("properties", {}).items()
    }
    described = {**schema, "description": " ".join(summary.split())} if summary else dict(schema)
    return {**described, "properties": properties} if properties else described


def _attributes(struct: type) -> dict[str, str]:
    """Names and meanings of the fields that a docstring lists."""
    text = inspect.cleandoc(struct.__dict__.get("__doc__") or "")
    found: dict[str, str] = {}
    name = ""
    for line in text.partition("Attributes:\n")[2].partition("\n\n")[0].splitlines():
        begins = _ATTRIBUTE.match(line)
        if begins:
            name = begins[1]
        found[name] = begins[2] if begins else f"{found[name]} {line.strip()}"
    return found
