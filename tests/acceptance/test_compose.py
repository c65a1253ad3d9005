"""compose/: its files are checked, and every service's command and health check are run.

There are no containers here; `compose_stack` says what runs in their place.
"""

from __future__ import annotations

import re
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
    dockerfile,
    env_example,
    services,
)
from tools.waiting import wait_until
from vwo_celery.operating.looks.inspector import view_queues
from vwo_celery.queue.fleet import Fleet

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
    for name in ours:
        assert name.removeprefix("VWO_CELERY_").lower() in vwo_celery.Settings.__struct_fields__


def test_there_is_no_secret() -> None:
    """The files hold no key, token or password, and ask for none in clear text."""
    for path in COMPOSE.iterdir():
        text = path.read_text("utf-8")
        assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), path
        assert not re.search(r"(?i)\w*(password|secret|token|sdk_key)\w*\s*[=:]\s*\S", text), path
        assert "@" not in "".join(re.findall(r"\w+://\S+", text)), path


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
    assert len(views) == 1
    assert views[0].ledger.balanced
    assert views[0].ledger.dead == 0


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
