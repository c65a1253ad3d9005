"""Each package that a module imports is declared: by ourselves, or by the extra of the module's place.

deptry finds what is declared nowhere, but takes all extras as one list; that `metrics` needs nothing of
`console` it cannot say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.docs import load_builder

builder = load_builder("build_architecture")
MODULES: dict[str, Path] = builder.MODULES
PYPROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")

#: Where an extra is at home; whatever stands below may import what the extra brings.
PLACES = {
    "console": ("console", "django.console"),
    "django": ("apps", "django"),
    "metrics": ("metrics",),
    "otel": ("otel", "tracing"),
    "relay": ("relay", "console"),
    "tui": ("top",),
}
#: Names of imports that are not those of their packages.
PACKAGES = {"prometheus_client": "prometheus-client", "opentelemetry": "opentelemetry-api"}
#: Packages that others cannot do without, and that we use only together with them.
WITHIN = {"markupsafe": "jinja2", "urllib3": "requests"}
#: Packages that are declared and imported nowhere: their users find them by themselves.
FOUND_BY = {"hiredis": "redis", "httptools": "uvicorn", "uvloop": "uvicorn"}


def declared(extra: str) -> set[str]:
    """Packages of an extra, or with "" those that everybody gets."""
    name = extra or "dependencies"
    listed = re.search(rf"^{name} = \[(.*?)\]$", PYPROJECT, re.M | re.S)
    assert listed is not None
    text = re.sub(r"^ *#.*$", "", listed[1], flags=re.M)
    return set(re.findall(r'"([a-z][\w-]*)(?:\[\w+\])?>=', text))


def needed(module: str) -> set[str]:
    """Packages of others that a module imports when it runs, wherever in the file."""
    names = builder.imports(module, MODULES[module], for_types=False)
    others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"vwo_celery"}
    return {WITHIN.get(each, PACKAGES.get(each, each)) for each in others}


def allowed(module: str) -> set[str]:
    """Packages that may be imported where the module stands."""
    at_home = (
        extra
        for extra, places in PLACES.items()
        if any(module == place or module.startswith(f"{place}.") for place in places)
    )
    return declared("").union(*map(declared, at_home))


def test_imports_are_declared() -> None:
    """Whoever installs what a module's place needs can import it."""
    undeclared = {module: needed(module) - allowed(module) for module in MODULES}

    assert {module: names for module, names in undeclared.items() if names} == {}


def test_what_is_declared_is_used() -> None:
    """No user installs a package that nothing here imports."""
    used = set().union(*map(needed, MODULES)) | set(FOUND_BY)

    unused = {extra: declared(extra) - used for extra in ("", *PLACES, "fast")}

    assert {extra: names for extra, names in unused.items() if names} == {}


def test_the_rule_tells_extras_apart() -> None:
    """A module of the metrics may not use what only the console brings."""
    assert "jinja2" in needed("console.pages.rendering") & allowed("console.pages.rendering")
    assert "jinja2" not in allowed("metrics.prometheus")
    assert "celery" in allowed("metrics.prometheus")
