"""Write the tables of docs/reference/api.md from the OpenAPI document: `python docs/build_api.py`.

A test builds the page and compares, so neither the page nor the code can change alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from page_tables import filled

from vwo_celery.console.api.openapi import describe

PAGE = Path(__file__).parent / "reference" / "api.md"


def build(page: str) -> str:
    """Return *page* with the tables between its marks made anew."""
    document = describe()
    tables = {
        "questions": _questions(document),
        "changes": _changes(document),
        "documents": _documents(document),
    }
    return filled(page, {name: "".join(lines) for name, lines in tables.items()})


def _operations(
    document: Mapping[str, Any], method: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        if method in methods:
            yield path, methods[method]


def _questions(document: Mapping[str, Any]) -> Iterator[str]:
    yield "| GET | answers | fields | right |\n|---|---|---|---|\n"
    for path, told in _operations(document, "get"):
        fields = "<br>".join(
            f"`{each['name']}`: {_cell(each['description'])}"
            for each in told["parameters"]
            if each["in"] == "query"
        )
        right, gives = told["x-right"], _kind(_answer(told))
        yield f"| `{path}` | {_cell(told['summary'])} {gives} | {fields or '-'} | {right} |\n"


def _changes(document: Mapping[str, Any]) -> Iterator[str]:
    yield "| POST | does | takes | answers | right |\n|---|---|---|---|---|\n"
    for path, told in _operations(document, "post"):
        takes = told["requestBody"]["content"]["application/json"]["schema"]
        yield (
            f"| `{path}` | {_cell(told['summary'])} | {_kind(takes)} | {_kind(_answer(told))} "
            f"| {told['x-right']} |\n"
        )


def _answer(told: Mapping[str, Any]) -> Mapping[str, Any]:
    (content,) = told["responses"]["200"]["content"].values()  # of a file, one line is described
    schema: Mapping[str, Any] = content["schema"]
    return schema


def _documents(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f"\n### {name}\n\n{schema.get('description', '')}\n\n"
        yield "| field | type | means |\n|---|---|---|\n"
        for field, each in schema.get("properties", {}).items():
            yield f"| `{field}` | {_kind(each)} | {_cell(each.get('description', ''))} |\n"
    yield "\n"


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words, with links to the structs in it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"]]  # null is first or last, as msgspec likes
        return " or ".join(sorted(kinds, key=lambda kind: kind == "null"))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema.get("type", "anything"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(build(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
