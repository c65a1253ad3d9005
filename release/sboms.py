"""A software bill of materials (CycloneDX) of an environment that holds us and one of our extras.

It lists what was installed there: a release's dependencies have ranges, so a later environment may
hold others. Each component bears the licences that its own metadata declare; `licences` judges them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from release.commands import CHECKOUT, run, tool
from release.lines import Refused

Sbom = dict[str, Any]


def write_sbom(python: Path, version: str, target: Path) -> Sbom:
    """Write the bill of an environment, without times or random names, and return it.

    Nothing looks at its form, which takes ten times as long: see `check_form`.

    Args:
        python: The environment's interpreter.
        version: Ours; CycloneDX' reader of pyproject.toml cannot know it, which says "dynamic".
        target: The file to write; its folder is made.

    Raises:
        Refused: The environment could not be read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    run([
        tool("cyclonedx-py"), "environment", "--no-validate", python,
        "--pyproject", CHECKOUT / "pyproject.toml", "--mc-type", "library",
        "--output-reproducible", "--output-format", "JSON", "--output-file", target,
    ])  # fmt: skip
    sbom: Sbom = json.loads(target.read_text("utf-8"))
    sbom["metadata"]["component"]["version"] = version
    target.write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n", "utf-8")
    return sbom


def check_form(path: Path) -> None:
    """Hold a bill, as it is published, against CycloneDX' own schema, strictly; takes some seconds.

    Raises:
        Refused: It is not of its form.
    """
    # Only the environment of `make release` has it.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = path.read_text("utf-8")
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    wrong = JsonStrictValidator(version).validate_str(text)
    if wrong is not None:
        raise Refused(f"{path.name}: {wrong}")
