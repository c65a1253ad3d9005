"""A package index on loopback, of the release alone: the form of PEP 503, so pip and uv take it.

Everything else comes from the index that the machine has. If this process dies, the index is gone.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from release.building import Built

PACKAGE = "vwo-celery"


def make_index(folder: Path, built: Built) -> Path:
    """Lay out the pages and files of an index anew; returns the folder to serve."""
    shutil.rmtree(folder, ignore_errors=True)
    project = folder / "simple" / PACKAGE
    project.mkdir(parents=True)
    links = []
    for path in (built.wheel, built.sdist):
        shutil.copy(path, project / path.name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        links.append(f'<a href="{path.name}#sha256={digest}">{path.name}</a>')
    _write_page(project, links)
    _write_page(project.parent, [f'<a href="{PACKAGE}/">{PACKAGE}</a>'])
    return folder


def _write_page(folder: Path, links: list[str]) -> None:
    body = "<br>\n".join(links)
    page = f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>\n"
    (folder / "index.html").write_text(page, "utf-8")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve an index as long as the block runs, on a free port; yields its URL for pip and uv."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
