"""tests/README.md lists every folder, command and tool of the tests, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import vwo_celery

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| `([\w./]+)` \|", re.MULTILINE)
LISTED = set(ROW.findall((TESTS / "README.md").read_text("utf-8")))


def test_every_tool_has_a_line() -> None:
    """tests/README.md lists every tool, or somebody would write it a second time."""
    tools = {f"tools/{path.name}" for path in (TESTS / "tools").glob("[!_]*.py")}

    assert {name for name in LISTED if name.startswith("tools/") and name != "tools/"} == tools


def test_every_folder_and_module_has_a_line() -> None:
    """Every folder and module directly in tests/ is in the table of the layout."""
    folders = {f"{path.name}/" for path in TESTS.iterdir() if path.is_dir() and _is_kept(path)}
    modules = {path.name for path in TESTS.glob("*.py")}
    places = {name for name in LISTED if "/" not in name.removesuffix("/") and _is_place(name)}

    assert places == folders | modules


def test_integration_mirrors_the_packages() -> None:
    """A folder of integration/ has the name of a package, except for the adapters and the tools."""
    folders = {path.name for path in (TESTS / "integration").iterdir() if _is_kept(path)}
    packages = {path.name for path in Path(vwo_celery.__file__).parent.iterdir() if _is_kept(path)}

    assert folders - packages == {"adapters", "tools"}
    assert not list((TESTS / "integration").glob("*.py"))


def _is_kept(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(("_", "."))


def _is_place(name: str) -> bool:
    return name.endswith(("/", ".py"))
