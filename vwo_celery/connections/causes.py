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
from typing import Any, Final

from vwo_celery.connections.troubles import TlsFileUnusable

#: Errors of a connection behind which a file of TLS may be.
_OF_FILES: Final = (
    ssl.SSLError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError,
)  # fmt: skip


def explained(exc: BaseException, options: Mapping[str, Any]) -> BaseException:
    """The error of a connection with its cause, or the one that names a file of TLS behind it.

    Args:
        exc: As redis-py raised it.
        options: Those of the connection, for redis-py.
    """
    cause = exc.__cause__ or exc.__context__
    if isinstance(cause, _OF_FILES) and (problem := problem_of_files(options)):
        return TlsFileUnusable(problem)
    exc.__cause__ = cause
    return exc


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
    password = options.get("ssl_password") or ""  # never asked for at the terminal
    if why := _why_not(lambda: context.load_cert_chain(certificate, key, lambda: password)):
        return f"ssl_certfile names {certificate}, ssl_keyfile {key}: no pair in PEM ({why})"
    return ""


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _why_not(act: Callable[[], Any]) -> str:
    try:
        act()
    except (OSError, ValueError) as exc:
        return getattr(exc, "strerror", None) or str(exc)
    return ""
