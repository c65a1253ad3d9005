"""`vwo-celery web` as a program: who may come in, where it stands, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from tools.nginx import find_nginx
from tools.processes import Process
from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.serving import serving
from vwo_celery.cli import main
from vwo_celery.testing import free_port

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)

SECRET = "4f1c0d9b6e2a7d8835f0a1b2"
BEARER = {"Authorization": f"Bearer {SECRET}"}
Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def credentials(tmp_path: Path) -> str:
    """A file that lets alice in, as an operator."""
    path = tmp_path / "credentials"
    path.write_text(f"alice operator {SECRET}\n")
    return str(path)


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Start the program on a free port; it ends with the test, and has logged no secret."""
    with serving("web", tmp_path, redis_url, SECRET) as serve:

        def run(*options: str, **env: str) -> tuple[Process, str]:
            process, url = serve(*options, **env)
            process.wait_until(lambda: _serves(url), what="the console")
            return process, url

        yield run


def _serves(url: str) -> bool:
    try:
        return httpx.get(f"{url}healthz").status_code == 200
    except httpx.TransportError:
        return False


def status_of(answer: httpx.Response) -> Any:
    """The document of a good answer."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_this_hosts_programs_may_do_everything(start: Start, queues: Queues) -> None:
    """Without credentials it listens on loopback, and whoever connects may change things."""
    queue = queues.add()
    process, url = start()
    own = {"Sec-Fetch-Site": "same-origin"}

    seen = status_of(httpx.get(f"{url}api/v1/status"))
    done = httpx.post(f"{url}api/v1/pause", json={"queues": [queue.name]}, headers=own)
    forged = httpx.post(f"{url}api/v1/resume", json={"every": True})
    stranger = httpx.get(url, headers={"Host": "evil.test"})

    assert [each["queue"] for each in seen["queues"]] == [queue.name]
    assert done.json() == {"paused": [queue.name]}
    assert (forged.status_code, stranger.status_code) == (403, 421)
    assert queues.view(queue).paused
    process.stop()
    assert process.exit_code == 0


def test_credentials_say_who_may_do_what(
    start: Start, queues: Queues, credentials: str, run: Callable[..., Any]
) -> None:
    """Name and secret, or the secret as a token; whoever acts stands in the audit by name."""
    queue = queues.add()
    _, url = start("--credentials", credentials)

    nobody = httpx.get(url)
    seen = httpx.get(f"{url}api/v1/status", auth=("alice", SECRET))
    done = httpx.post(f"{url}api/v1/pause", json={"every": True}, headers=BEARER)
    purged = httpx.post(f"{url}api/v1/purge", json={}, headers=BEARER)

    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"].startswith("Basic ")
    assert seen.status_code == 200
    assert done.json() == {"paused": [queue.name]}
    assert purged.status_code == 403
    (change,) = json.loads(run("audit", "--json").stdout)
    assert (change["who"], change["door"], change["host"]) == ("alice", "api", "127.0.0.1")


def test_read_only_changes_nothing(start: Start, queues: Queues, credentials: str) -> None:
    """--read-only takes all changes away, whoever asks."""
    queue = queues.add()
    _, url = start("--credentials", credentials, "--read-only")

    answer = httpx.post(f"{url}api/v1/pause", json={"every": True}, headers=BEARER)

    assert answer.status_code == 403
    assert queues.view(queue).paused == ""


def test_it_stands_below_a_path_whether_a_proxy_takes_that_away_or_not(
    start: Start, queues: Queues
) -> None:
    """With --prefix both kinds of proxies reach it, and its first page has a slash."""
    queues.add()
    _, url = start("--prefix", "/ops/vwo")
    root = url.removesuffix("ops/vwo/")

    for place in (url, root):
        assert httpx.get(f"{place}api/v1/status").status_code == 200
    redirect = httpx.get(f"{root}ops/vwo")

    assert (redirect.status_code, redirect.headers["Location"]) == (303, "vwo/")


_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location /vwo/ {{
            proxy_pass {url};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For 192.0.2.9;
        }}
    }}
}}
"""


def test_behind_nginx_it_needs_no_setup(
    start: Start, queues: Queues, credentials: str, tmp_path: Path, run: Callable[..., Any]
) -> None:
    """As the how-to has it: below a path, forms by their origin, and the client's own address."""
    queues.add()
    _, url = start("--credentials", credentials)
    port, conf = free_port(), tmp_path / "nginx.conf"
    conf.write_text(_NGINX.format(folder=tmp_path, port=port, url=url))
    outside, form = f"http://127.0.0.1:{port}", {"content": "every=1", "auth": ("alice", SECRET)}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    nginx = Process(
        find_nginx(), "-p", str(tmp_path), "-c", str(conf), folder=tmp_path, name="nginx"
    )
    with nginx:
        nginx.wait_for_port(port)
        page = httpx.get(f"{outside}/vwo/", auth=("alice", SECRET))
        forged = httpx.post(
            f"{outside}/vwo/do/pause", headers={**kind, "Origin": "http://127.0.0.1"}, **form
        )
        done = httpx.post(f"{outside}/vwo/do/pause", headers={**kind, "Origin": outside}, **form)

    assert (page.status_code, forged.status_code) == (200, 403)
    assert done.status_code == 303, done.text
    (change,) = json.loads(run("audit", "--json").stdout)
    assert (change["who"], change["host"]) == ("alice", "192.0.2.9")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_without_credentials_a_bare_proxy_changes_nothing(
    start: Start, queues: Queues, tmp_path: Path, version: str
) -> None:
    """nginx that passes no header on, nor the name that was asked for, is refused where it shows."""
    queue = queues.add()
    _, url = start()
    port, conf = free_port(), tmp_path / "nginx.conf"
    bare = "".join(line for line in _NGINX.splitlines(True) if "proxy_set_header" not in line)
    bare = bare.replace("{url};", f"{{url}}; proxy_http_version {version};")
    conf.write_text(bare.format(folder=tmp_path, port=port, url=url))
    command = (find_nginx(), "-p", str(tmp_path), "-c", str(conf))
    outside = f"http://127.0.0.1:{port}"
    own = {"Sec-Fetch-Site": "same-origin", "Origin": outside}

    with Process(*command, folder=tmp_path, name="nginx") as nginx:
        nginx.wait_for_port(port)
        page = httpx.get(f"{outside}/vwo/", headers={"Referer": f"{outside}/vwo/"})
        done = httpx.post(f"{outside}/vwo/api/v1/pause", json={"every": True}, headers=own)
        program = httpx.get(f"{outside}/vwo/api/v1/status")

    assert (page.status_code, done.status_code) == (403, 403)
    assert "--credentials FILE" in done.json()["remedy"]
    assert queues.view(queue).paused == ""
    assert program.status_code == (403 if version == "1.0" else 200)  # as the how-to says


def test_it_is_closed_unless_somebody_says_who_may_come_in(redis_url: str, tmp_path: Path) -> None:
    """An address that others reach ends it with 2 and the remedy; a wrong file ends it with 1."""
    missing = str(tmp_path / "missing")

    exposed = CliRunner().invoke(main, ["web", "--listen", "0.0.0.0:0"])
    unreadable = CliRunner().invoke(main, ["web", "--credentials", missing])

    assert (exposed.exit_code, unreadable.exit_code) == (2, 1)
    assert "--credentials FILE" in exposed.output
    assert "cannot be read" in unreadable.output


def test_an_app_that_is_none_is_told_at_start(redis_url: str) -> None:
    """A mistyped -A ends the console at once, in words, not when somebody orders work of a worker."""
    command = ["web", "--redis-url", redis_url, "--listen", "127.0.0.1:0", "-A", "no_such_app"]

    refused = CliRunner().invoke(main, command)

    assert refused.exit_code == 1
    assert "there is no Celery app 'no_such_app'" in refused.output
    assert "Traceback" not in refused.output


def test_a_large_request_is_refused_before_it_is_read(start: Start) -> None:
    """The server bounds what it reads; the console never sees it."""
    _, url = start()

    answer = httpx.post(f"{url}api/v1/pause", content=b"x" * 1_000_001)

    assert answer.status_code == 413
