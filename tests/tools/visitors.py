"""Many visitors of a web application at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import requests

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

_THREADS = 8
_REQUEST_TIMEOUT_SECONDS = 30


class Visitors:
    """Send requests from several threads, each on its own connection, so all server processes get some.

    Args:
        url: Where the application listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def each(self, visit: Callable[[Argument], Answer], whom: Iterable[Argument]) -> list[Answer]:
        """Result of *visit* for each of *whom*, in order."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(visit, whom))

    def get(self, path: str) -> requests.Response:
        """The answer to a GET."""
        return self._request("GET", path, {})

    def post(self, path: str, **form: str) -> requests.Response:
        """The answer to a POST of a form."""
        return self._request("POST", path, form)

    def _request(self, method: str, path: str, form: dict[str, str]) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of this machine's is none of ours
            return session.request(
                method, self._url + path, data=form, timeout=_REQUEST_TIMEOUT_SECONDS
            )
