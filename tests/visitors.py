"""Many visitors of a web application at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import requests

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

_THREADS = 8
_REQUEST_TIMEOUT_SECONDS = 30


class Visitors:
    """Sends requests from several threads, each of which keeps its connection.

    Args:
        url: Where the application listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._of_thread = threading.local()

    def each(self, visit: Callable[[Argument], Answer], whom: Iterable[Argument]) -> list[Answer]:
        """What *visit* returned for each of *whom*, in order."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(visit, whom))

    def get(self, path: str) -> requests.Response:
        """The answer to a GET."""
        return self._session().get(self._url + path, timeout=_REQUEST_TIMEOUT_SECONDS)

    def post(self, path: str, **form: str) -> requests.Response:
        """The answer to a POST of a form."""
        return self._session().post(self._url + path, data=form, timeout=_REQUEST_TIMEOUT_SECONDS)

    def _session(self) -> requests.Session:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
            self._of_thread.session.trust_env = False  # a proxy of this machine's is none of ours
        session: requests.Session = self._of_thread.session
        return session
