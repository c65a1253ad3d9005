"""The console behind each of its doors, as a program of its own, and how somebody comes in there.

The programs are in `browser/doors/`. Django's admin is run with each release of Django in the folder
that VWO_CELERY_DJANGOS names (made by `make browser`), and with the installed one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tools.processes import Process
from vwo_celery.testing import free_port

PROGRAMS: Final = Path(__file__).parents[1] / "browser" / "doors"
#: What somebody may do, from the least to the most.
ROLES: Final = ("viewer", "peek", "operator", "purge")
#: Longest wait for a program to take connections.
_READY_SECONDS: Final = 30.0


class Door:
    """One way to the console, running from `start` to `stop`.

    Attributes:
        name: Such as "flask" or "django-4.2".
        url: Address of the first page, with its slash at the end.
    """

    def __init__(self, name: str, port: int, path: str, process: Process) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}{path}"
        self.process = process
        self._port = port

    @property
    def is_django(self) -> bool:
        """Whether Django's admin stands around the pages."""
        return self.name.startswith("django")

    def start(self) -> None:
        """Start the program; returns once it takes connections."""
        self.process.start()
        self.process.wait_for_port(self._port, _READY_SECONDS)

    def stop(self) -> None:
        """End the program."""
        self.process.stop()

    def entry(self, role: str) -> dict[str, Any]:
        """What lets a visit come in, in a role, by the door's own means: options of a context."""
        return _ENTRIES[self.name.partition("-")[0]](self, role)

    def cookie(self, name: str, value: str) -> dict[str, Any]:
        """The option that gives a visit a cookie for this door."""
        host = str(urlsplit(self.url).hostname)
        cookie = {
            "name": name, "value": value, "domain": host, "path": "/", "expires": -1,
            "httpOnly": False, "secure": False, "sameSite": "Lax",
        }  # fmt: skip
        return {"storage_state": {"cookies": [cookie], "origins": []}}

    def __repr__(self) -> str:
        return f"<Door {self.name} at {self.url}>"


def _credentials(door: Door, role: str) -> dict[str, Any]:
    return {"http_credentials": {"username": role, "password": _secret(role)}}


def _role_cookie(door: Door, role: str) -> dict[str, Any]:
    return door.cookie("role", role)


def _django_session(door: Door, role: str) -> dict[str, Any]:
    """The session that the program made of each role at its start, and told in its log."""
    (line,) = [each for each in door.process.log().splitlines() if each.startswith("sessions: ")]
    sessions: dict[str, str] = json.loads(line.removeprefix("sessions: "))
    return door.cookie("sessionid", sessions[role])


_ENTRIES: Final[Mapping[str, Callable[[Door, str], dict[str, Any]]]] = {
    "bare": _credentials,
    "prefix": _credentials,
    "empty": _credentials,
    "ops": _django_session,
    "flask": _role_cookie,
    "fastapi": _role_cookie,
    "django": _django_session,
}


def _secret(role: str) -> str:
    return f"the secret of {role}".replace(" ", "-")


def djangos() -> dict[str, str]:
    """Name of the door to the folder that leads PYTHONPATH, of each Django; "" for the installed one."""
    folder = os.environ.get("VWO_CELERY_DJANGOS")
    found = sorted(filter(Path.is_dir, Path(folder).iterdir())) if folder else []
    return {**{f"django-{each.name}": str(each) for each in found}, "django": ""}


#: The doors, as the tests name them; Django's others are known when they run.
DOORS: Final = ("bare", "flask", "fastapi", *djangos())
#: Doors of which few tests are enough: below a prefix, outside of Django's admin, without any queue.
FURTHER: Final = ("prefix", "ops", "empty")


def make_door(name: str, folder: Path, env: Mapping[str, str]) -> Door:
    """A door that does not run yet.

    Args:
        name: One of `DOORS` or of `FURTHER`.
        folder: Where it may write: its log, Django's database.
        env: The settings of the fleet.
    """
    port = free_port()
    (folder / "credentials").write_text(
        "".join(f"{role} {role} {_secret(role)}\n" for role in ROLES)
    )
    (folder / "credentials").chmod(0o600)
    kind = name.partition("-")[0]
    path, command = _PROGRAMS[kind]
    django = djangos().get(name, "")
    process = Process(
        "python", *(word.format(port=port, folder=folder) for word in command), folder=folder, name=name,
        env={**env, **_ENV.get(kind, {}), "FOLDER": str(folder), "EXTRA_PATH": django}, cwd=PROGRAMS,
    )  # fmt: skip
    return Door(name, port, path, process)


_WEB: Final = (
    "-m", "vwo_celery", "web", "--listen", "127.0.0.1:{port}", "--credentials", "{folder}/credentials",
)  # fmt: skip
#: Path of the first page, and the command, by the kind of door.
_PROGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "bare": ("/", _WEB),
    "prefix": ("/ops/vwo/", (*_WEB, "--prefix", "/ops/vwo")),
    "empty": ("/", _WEB),
    "flask": ("/ops/vwo/", ("flask_app.py", "{port}")),
    "fastapi": ("/ops/vwo/", ("fastapi_app.py", "{port}")),
    "django": ("/admin/vwo_celery/eventqueue/", ("django_app.py", "{port}")),
    "ops": ("/ops/vwo/", ("django_app.py", "{port}")),
}
#: What a kind of door has in its environment besides the settings of the fleet.
_ENV: Final[Mapping[str, Mapping[str, str]]] = {"empty": {"VWO_CELERY_NAMESPACE": "nothing-yet"}}
