"""The people and programs that may use `vwo-celery web`, from a file: name, role and secret each.

A browser sends name and secret as HTTP Basic, a program the secret alone as a Bearer token. The file
may hold the SHA-256 of a secret in its place. It is read again when it changes; one that cannot be
read leaves the list as it was. No error, log line or repr shows a secret. Nothing to lose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from vwo_celery.console.shared.rights import ROLES, Visitor
from vwo_celery.errors import SettingsError
from vwo_celery.logs import log
from vwo_celery.text.wording import shown

#: Fewest letters of a secret.
_SHORTEST: Final = 16
_HASHED: Final = re.compile(r"sha256:([0-9a-f]{64})")
_FIELDS: Final = 3


class Credential(msgspec.Struct, frozen=True):
    """One who may come in.

    Attributes:
        visitor: Their name and rights.
        hashed: SHA-256 of their secret, in hexadecimal.
    """

    visitor: Visitor
    hashed: str

    def __repr__(self) -> str:
        return f"Credential({self.visitor.name})"


class Credentials:
    """Those of one file.

    Args:
        path: Its path.

    Raises:
        SettingsError: It cannot be read, or names nobody. The message names the line.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = Lock()
        self._seen = self._stamp()
        self._known = self._read()

    def visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        """Who sent these headers; None for nobody we know.

        It takes as long for a wrong secret as for the right one.
        """
        self._reread()
        kind, _, sent = headers.get("authorization", "").partition(" ")
        name, secret = _basic(sent) if kind.lower() == "basic" else (None, sent.strip())
        hashed, found = _hash(secret), None
        for each in self._known:
            is_named = name is None or name == each.visitor.name
            if hmac.compare_digest(each.hashed, hashed) and is_named:
                found = each.visitor
        return found if kind.lower() in ("basic", "bearer") else None

    def _reread(self) -> None:
        with self._lock:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._known = self._read()
            except SettingsError as exc:
                log.error("%s; those who may come in stay as they were", exc)
            else:
                log.info("%d may use the console, as its file says now", len(self._known))

    def _stamp(self) -> object:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> list[Credential]:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            why = getattr(exc, "strerror", None) or "it is no UTF-8"
            raise SettingsError(
                f"console_credentials_file {self._path} cannot be read: {why}"
            ) from exc
        found = list(_credentials(self._path, text.splitlines()))
        if not found:
            raise SettingsError(f"console_credentials_file {self._path} names nobody; {_WANTED}")
        return found


_WANTED: Final = (
    f"each line is NAME ROLE SECRET, with a role of {', '.join(ROLES)}, and a secret of {_SHORTEST} "
    "letters or more, or sha256: and its SHA-256 in hexadecimal"
)


def _credentials(path: Path, lines: Iterable[str]) -> Iterable[Credential]:
    names = set()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"console_credentials_file {path}, line {number}"
        if len(words) != _FIELDS or words[1] not in ROLES or ":" in words[0]:
            raise SettingsError(f"{where} cannot be read; {_WANTED}")
        if words[0] in names:
            raise SettingsError(f"{where} names {shown(words[0])} a second time")
        names.add(words[0])
        yield Credential(Visitor.in_role(words[1], words[0]), _hash_of(words[2], where))


def _hash_of(secret: str, where: str) -> str:
    hashed = _HASHED.fullmatch(secret)
    if hashed is not None:
        return hashed[1]
    if len(secret) < _SHORTEST:
        raise SettingsError(f"{where} has a secret that is too short; {_WANTED}")
    return _hash(secret)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _basic(sent: str) -> tuple[str, str]:
    """Name and secret of HTTP Basic; both empty if they cannot be read."""
    try:
        name, _, secret = base64.b64decode(sent, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return name, secret
