"""Why a connection could not be opened: the cause kept with the error, and a file of TLS named.

Beneath the pools; no state, nothing to lose. redis-py tells of a file that is missing as of a server
("Error 2 connecting to HOST:PORT. No such file or directory."), without the file's name. And an error
that is raised again while another one is handled loses what it came from.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from copy import copy
from inspect import signature
from typing import Any, Final

from vwo_celery.connections.troubles import TlsFileUnusable

#: Errors of a connection behind which a file of TLS may be.
_OF_FILES: Final = (
    ssl.SSLError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError,
)  # fmt: skip
#: What the files of encrypted keys begin with, in either of their two forms, within so many bytes.
_ENCRYPTED: Final = b"ENCRYPTED"
_MOST_BYTES: Final = 65_536


def explained(exc: BaseException, options: Mapping[str, Any]) -> BaseException:
    """The error of a connection with its cause, or the one that names a file of TLS behind it.

    Args:
        exc: As redis-py raised it.
        options: Those of the connection, for redis-py.
    """
    cause = exc.__cause__ or exc.__context__
    if _may_be_of_files(cause) and (problem := problem_of_files(options)):
        return TlsFileUnusable(problem)
    exc.__cause__ = cause
    return exc


def _may_be_of_files(cause: BaseException | None) -> bool:
    """Whether a file may be behind an error of a connection, or of all nodes, which has such a cause."""
    deeper = cause and (cause.__cause__ or cause.__context__)
    return isinstance(cause, _OF_FILES) or isinstance(deeper, _OF_FILES)


def bare(exc: BaseException) -> BaseException:
    """A copy of an error and of its cause, without the frames that they came through."""
    found = copy(exc)
    found.__cause__ = None if exc.__cause__ is None else copy(exc.__cause__)
    return found


def problem_of_files(options: Mapping[str, Any]) -> str:
    """Which option of TLS names a file that cannot be used, and why; "" for none."""
    authorities, folder, certificate, key = (
        options.get(f"ssl_{name}") for name in ("ca_certs", "ca_path", "certfile", "keyfile")
    )
    if folder and not os.path.isdir(folder):
        return f"ssl_ca_path names {folder}: no such folder"
    for name, path in (
        ("ssl_ca_certs", authorities), ("ssl_certfile", certificate), ("ssl_keyfile", key)
    ):  # fmt: skip
        if path and (why := _why_not(lambda path=path: _read(path))):  # type: ignore[misc]
            return f"{name} names {path}: {why}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities and (why := _why_not(lambda: context.load_verify_locations(authorities))):
        return f"ssl_ca_certs names {authorities}: no certificates in PEM ({why})"
    if not certificate:
        return ""
    password = options.get("ssl_password") or ""
    if why := _why_not(lambda: context.load_cert_chain(certificate, key, lambda: password)):
        if _ENCRYPTED in _read(key or certificate):
            why = f"its key is encrypted, and ssl_password is missing or wrong; {why}"
        of_key = f", ssl_keyfile {key}" if key else ""
        return f"ssl_certfile names {certificate}{of_key}: no pair in PEM ({why})"
    return ""


def never_asking(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of TLS with an empty password for the key: without one, OpenSSL asks at the terminal.

    A worker, or a web request, would wait there for somebody who types.
    """
    return {"ssl_password": "", **options} if "ssl_certfile" in options else {**options}


def for_asyncio(options: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """The same options for one of redis-py's classes for asyncio, some of which take no password."""
    takes = "ssl_password" in signature(kind).parameters
    return {
        each: value for each, value in options.items() if each != "ssl_password" or value or takes
    }


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES)


def _why_not(act: Callable[[], Any]) -> str:
    try:
        act()
    except (OSError, ValueError) as exc:
        return getattr(exc, "strerror", None) or str(exc)
    return ""
