"""VWO's SDKs as npm and PyPI have them, and how each is pointed and started here.

Each runs in a process of its own, from an environment of its own that run.sh made: none of their
files is changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tools.processes import Process

_HERE = Path(__file__).parent
#: Where run.sh has made the environments.
ENVIRONMENTS = Path(os.environ.get("VWO_CELERY_SDK_ENVIRONMENTS", ".build/sdk-relay"))


class Sdk(msgspec.Struct, frozen=True):
    """One release of an SDK.

    Attributes:
        package: Its name on npm or PyPI.
        version: The release.
        language: "node" or "python".
        generation: "fme" or "legacy".
        pointed: How it is sent to another host: by its proxy option, by its option for a gateway,
            or, having none, by a preload (Node) or its constants (Python).
        module: Name to import in Python; "esm" for `import` in Node, in place of `require`.
    """

    package: str
    version: str
    language: Literal["node", "python"]
    generation: Literal["fme", "legacy"]
    pointed: Literal["proxy", "gateway", "preload", "constants"]
    module: str = "vwo"

    def __str__(self) -> str:
        """Name of its environment."""
        return f"{self.package}-{self.version}"

    @property
    def title(self) -> str:
        """Its name in the tests."""
        how = "-esm" if self.module == "esm" else ""
        return f"{self}{how}-by-{self.pointed}"

    @property
    def batches(self) -> bool:
        """Whether it can batch when it is pointed elsewhere: not with a gateway."""
        return self.pointed != "gateway"


NODE_FME = Sdk("vwo-fme-node-sdk", "1.35.0", "node", "fme", "preload")
NODE_FME_ESM = Sdk("vwo-fme-node-sdk", "1.35.0", "node", "fme", "preload", "esm")
NODE_FME_GATEWAY = Sdk("vwo-fme-node-sdk", "1.35.0", "node", "fme", "gateway")
NODE_FME_OLD = Sdk("vwo-fme-node-sdk", "1.18.0", "node", "fme", "preload")
NODE_FME_OLD_GATEWAY = Sdk("vwo-fme-node-sdk", "1.18.0", "node", "fme", "gateway")
NODE_LEGACY = Sdk("vwo-node-sdk", "1.73.0", "node", "legacy", "preload")
NODE_LEGACY_OLD = Sdk("vwo-node-sdk", "1.70.1", "node", "legacy", "preload")
PYTHON_FME = Sdk("vwo-fme-python-sdk", "1.65.0", "python", "fme", "proxy")
PYTHON_FME_OLD = Sdk("vwo-fme-python-sdk", "1.21.1", "python", "fme", "proxy")
PYTHON_WINGIFY = Sdk("wingify-fme-python-sdk", "1.65.0", "python", "fme", "proxy", "wingify")
PYTHON_LEGACY = Sdk("vwo-python-sdk", "1.68.2", "python", "legacy", "constants")

SDKS = (
    NODE_FME, NODE_FME_ESM, NODE_FME_GATEWAY, NODE_FME_OLD, NODE_FME_OLD_GATEWAY,
    NODE_LEGACY, NODE_LEGACY_OLD,
    PYTHON_FME, PYTHON_FME_OLD, PYTHON_WINGIFY, PYTHON_LEGACY,
)  # fmt: skip


#: Those that batch as they are pointed here.
BATCHING = tuple(each for each in SDKS if each.batches)
#: The FME SDKs that tell of themselves: Node's 1.18.0 knows no such settings, and with a gateway that
#: of Node goes to VWO directly.
TELLING = tuple(each for each in BATCHING if each.generation == "fme" and each != NODE_FME_OLD)


class Running(Process):
    """An SDK's program that carries out a plan; it ends when it is told to."""

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it has told so far, in order."""
        lines = self.log().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("TOLD ")]

    def all_told(self, name: str) -> list[Any]:
        """The values of one fact, in order."""
        return [facts[name] for facts in self.told if name in facts]

    def wait_for_told(self, name: str, count: int = 1, timeout_seconds: float = 20.0) -> list[Any]:
        """Return the values of a fact once so many were told; fails if the plan failed."""

        def enough() -> bool:
            return len(self.all_told(name)) >= count or bool(self.all_told("failed"))

        self.wait_until(enough, timeout_seconds, what=f"{count} times {name}")
        assert not self.all_told("failed"), self.log()
        return self.all_told(name)

    def go_on(self) -> None:
        """Let it pass a gate."""
        self.say("")


def program(
    sdk: Sdk, url: str, plan: Mapping[str, Any], *, folder: Path, name: str = "sdk"
) -> Running:
    """A program that carries out a plan with an SDK.

    Args:
        sdk: The SDK.
        url: Where it is pointed, http and a port.
        plan: Account, key, steps and batch options, as node/plan.js describes them.
        folder: Where its log goes.
        name: Name of the log.
    """
    netloc = url.partition("://")[2]
    whole = {
        **plan,
        "package": str(sdk) if sdk.language == "node" else sdk.module,
        "module": sdk.module,
        "pointed": _pointed(sdk, url, netloc),
    }
    env = {"PLAN": json.dumps(whole), "PYTHONPATH": None, "VWO_REDIRECT": url}
    return Running(*_command(sdk), folder=folder, name=name, env=env, cwd=folder, has_input=True)


def _pointed(sdk: Sdk, url: str, netloc: str) -> dict[str, Any]:
    names: dict[str, dict[str, Any]] = {
        "proxy": {"proxy_url": url},
        "gateway": {"gatewayService": {"url": url}},
        "constants": {"netloc": netloc},
    }
    return names.get(sdk.pointed, {})


def _command(sdk: Sdk) -> list[str]:
    environments = ENVIRONMENTS.resolve()
    if sdk.language == "python":
        python = environments / str(sdk) / "bin" / "python"
        return [str(python), "-W", "ignore", str(_HERE / "python" / f"{sdk.generation}.py")]
    script = str(environments / "node" / f"{sdk.generation}.js")
    preload = ["-r", str(environments / "node" / "redirect.js")] if sdk.pointed == "preload" else []
    return ["node", *preload, script]


def missing() -> list[str]:
    """Environments that are not there."""
    wanted = {str(ENVIRONMENTS / ("node" if s.language == "node" else str(s))) for s in SDKS}
    return sorted(each for each in wanted if not Path(each).exists())
