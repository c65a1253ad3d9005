"""compose/: its files are checked, and every service's command and health check are run.

There are no containers here; `compose_stack` says what runs in their place.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import vwo_celery
from tools.compose_stack import (
    COMPOSE,
    HEALTHY_TIMEOUT_SECONDS,
    ROOT,
    SERVICES,
    VARIABLE,
    Stack,
    compose_text,
    declared,
    dockerfile,
    env_example,
    services,
)
from tools.relays import RelayClient
from tools.waiting import wait_until
from vwo_celery.demo.account import ACCOUNT_ID, SDK_KEY
from vwo_celery.destinations import Destination
from vwo_celery.event_kinds import Visitor, custom_event
from vwo_celery.events import encode
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.operating.looks.views import Ledger
from vwo_celery.queue.fleet import Fleet
from vwo_celery.relay.serving.running import STOP_SECONDS

#: SDK of the events that the test sends to the relay.
NODE = "vwo-fme-node-sdk"

# -- the files


def test_every_service_is_checked_and_started_again() -> None:
    """The services are those that the test runs; each has a health check and a restart policy."""
    declared = services()

    assert set(declared) == set(SERVICES)
    for name, service in declared.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
    assert declared["replica"]["deploy"]["replicas"] == 2
    assert declared["worker"]["deploy"]["replicas"] >= 2


def test_dependencies_wait_for_health() -> None:
    """Every service waits for the health of those it needs; the test starts them in that order."""
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert SERVICES.index(needed) < SERVICES.index(name)


def test_images_are_pinned() -> None:
    """A foreign image has a full version; our images are built here."""
    froms = [words for words in dockerfile() if words[0] == "FROM"]
    stages = {words[3] for words in froms}
    images = [words[1] for words in froms if words[1] not in stages]
    images += [service["image"] for service in services().values() if "build" not in service]

    assert len(images) > 2
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+(-[a-z]+)+", image), image


def test_builds_name_stages_of_the_dockerfile() -> None:
    """The context, file and target of each build exist."""
    stages = {words[3] for words in dockerfile() if words[0] == "FROM"}

    for service in services().values():
        if "build" in service:
            build = service["build"]
            assert (COMPOSE / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()
            assert build["target"] in stages


def test_the_images_run_as_nobody_in_particular() -> None:
    """Each image runs as a user whose number is not root's."""
    users: dict[str, str] = {}
    parents: dict[str, str] = {}
    stage = ""
    for words in dockerfile():
        if words[0] == "FROM":
            parents[words[3]], stage = words[1], words[3]
            users[stage] = users.get(words[1], "root")
        elif words[0] == "USER":
            users[stage] = words[1]

    for service in services().values():
        if "build" in service:
            user = users[service["build"]["target"]]
            assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), user
    assert services()["nginx"]["user"] == "101:101"


def test_what_the_dockerfile_copies_is_there_and_sent_to_the_builder() -> None:
    """Every source of COPY exists, and Dockerfile.dockerignore lets it through."""
    ignore = (COMPOSE / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    sources = [
        source.rstrip("/") for words in dockerfile() if words[0] == "COPY" for source in words[1:-1]
    ]

    assert "*" in ignore
    assert set(sources) == sent
    for source in sources:
        # In a test of the wheel, the package is installed and not beside the tests.
        folder = Path(vwo_celery.__file__).parents[1] if source == "vwo_celery" else ROOT
        assert (folder / source).exists(), source


def test_variables_are_settings_with_their_defaults() -> None:
    """compose.yaml and .env.example name the same variables with the same values; ours are settings."""
    used = dict(VARIABLE.findall(compose_text()))
    ours = {
        name
        for service in services().values()
        for name in (*service.get("environment", {}), *env_example())
        if name.startswith("VWO_CELERY_")
    }

    assert used == env_example()
    assert ours
    assert declared()["secrets"]["relay_accounts"]["file"] == env_example()["RELAY_ACCOUNTS"]
    for name in ours:
        assert name.removeprefix("VWO_CELERY_").lower() in vwo_celery.Settings.__struct_fields__


def test_there_is_no_secret() -> None:
    """The files hold no key, token or password, and ask for none in clear text."""
    for path in filter(Path.is_file, COMPOSE.rglob("*")):
        text = re.sub(r"(?m)^ *secrets:$", "", path.read_text("utf-8"))
        assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), path
        assert not re.search(r"(?i)\w*(password|secret|token|sdk_key)\w*\s*[=:]\s*\S", text), path
        assert "@" not in "".join(re.findall(r"\w+://\S+", text)), path


def test_a_relay_that_is_stopped_may_answer_what_it_has_read() -> None:
    """Both stop times are longer than the relay's own; nginx is asked to finish."""
    relay, nginx = services()["relay"], services()["nginx"]

    assert int(relay["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    assert int(nginx["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    assert nginx["stop_signal"] == "SIGQUIT"


def test_only_nginx_is_before_the_relay() -> None:
    """The relay, which believes what nginx says of a client's address, has no port outside."""
    assert "ports" not in services()["relay"]
    assert services()["relay"]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
    for service in services().values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_what_the_relay_spools_outlives_its_container() -> None:
    """Its spool is a volume that the image gives to its user; its accounts are a secret."""
    relay = services()["relay"]
    spool = relay["environment"]["VWO_CELERY_SPOOL_DIR"]
    runs = [" ".join(words) for words in dockerfile() if words[0] == "RUN"]

    assert relay["volumes"] == [f"relay-spool:{spool}"]
    assert "relay-spool" in declared()["volumes"]
    assert any(f"install -d -o 10001 -g 10001 -m 0700 {spool}" in run for run in runs)
    assert relay["secrets"] == ["relay_accounts"]
    assert "/run/secrets/relay_accounts" in relay["command"]


def test_a_worker_that_is_stopped_may_finish_its_request() -> None:
    """The stop time of a worker is longer than the longest POST."""
    grace = services()["worker"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > int(env_example()["VWO_CELERY_REQUEST_TIMEOUT_SECONDS"])


# -- the running services


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services, healthy; each health check failed before its service was started."""
    stack = Stack(tmp_path_factory.mktemp("compose"))
    unstarted = [stack.instances[name][0].check() for name in SERVICES]
    try:
        stack.start()
        assert [check.args for check in unstarted if check.returncode == 0] == []
        yield stack
    finally:
        stack.stop()


def test_all_services_are_healthy_together(stack: Stack) -> None:
    """All health checks pass together, and no service has ended."""
    for instance in stack.all():
        check = instance.check()
        assert check.returncode == 0, f"{instance.process.name}: {check.stdout}"
        assert instance.process.exit_code is None


def test_events_of_both_replicas_arrive_in_batches(stack: Stack) -> None:
    """Events from the SDK in two replicas reach the stand-in in batches, and the ledger balances."""
    taken = wait_until(
        lambda: stats if (stats := stack.stats())["accepted"] >= 2 else None,
        HEALTHY_TIMEOUT_SECONDS,
        what="two batches at the stand-in",
    )
    views = view_queues(fleet := Fleet(stack.client(), "vwo"), fleet.registrations().readable)

    assert taken["events"] / taken["accepted"] > 2
    assert (taken["rejected"], taken["singles"]) == (0, 0)
    assert views
    assert [(view.ledger.balanced, view.ledger.dead) for view in views] == [(True, 0)] * len(views)


def test_redis_keeps_what_it_is_given(stack: Stack) -> None:
    """redis.conf is in force: data is on disk and never evicted."""
    with stack.client() as client:
        config = client.config_get("*")

    assert config["appendonly"] == "yes"
    assert config["maxmemory-policy"] == "noeviction"
    assert int(config["maxmemory"]) > 0


def test_services_write_nowhere_but_into_their_tmp(stack: Stack) -> None:
    """Services write only into their /tmp: the read-only root of compose.yaml is enough."""
    for name in SERVICES:
        if name == "redis":
            continue
        assert services()[name]["read_only"] is True
        for instance in stack.instances[name]:
            app = instance.process.log_path.parent / "app"
            fresh = [path for path in app.rglob("*") if "__pycache__" not in path.parts]
            assert {path.relative_to(app).parts[0] for path in fresh} == {"workers"}


def test_what_nginx_answered_200_arrives_though_the_relay_restarts(stack: Stack) -> None:
    """An SDK's events reach the stand-in; while the relay is ended, or killed, it is told 503."""
    (relay,) = stack.instances["relay"]
    client = RelayClient(stack.nginx_port)
    statuses = [_post(client) for _ in range(20)]
    assert statuses == [200] * 20

    for end in (relay.process.ask_to_end, relay.process.kill):
        ended = threading.Thread(target=end)
        ended.start()
        while relay.process.exit_code is None:
            statuses.append(_post(client))
        ended.join()
        relay.process.stop()
        statuses.append(_post(client))
        assert statuses[-1] == 503
        relay.process.start()
        relay.wait_until_healthy()
        statuses.append(_post(client))
        assert statuses[-1] == 200

    stored = statuses.count(200)
    assert set(statuses) == {200, 503}
    wait_until(lambda: _ledger(stack).delivered >= stored, HEALTHY_TIMEOUT_SECONDS, what="delivery")
    ledger = _ledger(stack)
    # Beyond what was answered: the request that the relay was killed over.
    assert stored <= ledger.accepted <= stored + len(statuses)
    assert (ledger.balanced, ledger.dead, ledger.dropped) == (True, 0, 0)
    relay.process.stop()  # it is another process than the one that the stack began with


def _post(client: RelayClient) -> int:
    """Send one event as Node's FME SDK does; returns the status."""
    place = Destination(account_id=ACCOUNT_ID, sdk_key=SDK_KEY, generation="fme", sdk_name=NODE)
    event = custom_event(place, Visitor(user_id="A"), "purchase", time_ms=time.time_ns() // 10**6)
    query = f"a={ACCOUNT_ID}&env={SDK_KEY}&sn={NODE}&sv=1.35.0"
    body = b'{"ev":[%s]}' % encode(event)
    return client.post(f"/server-side/batch-events-v2?{query}", body).status


def _ledger(stack: Stack) -> Ledger:
    """The ledger of the queue of what `_post` sends."""
    fleet = Fleet(stack.client(), "vwo")
    (ledger,) = (
        view.ledger
        for view in view_queues(fleet, fleet.registrations().readable)
        if fleet.registrations().readable[view.queue].destination.sdk_name == NODE
    )
    return ledger
