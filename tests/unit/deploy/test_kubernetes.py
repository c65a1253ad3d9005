"""deploy/kubernetes: valid, restricted, with times that follow from the settings."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

import vwo_celery
from tools.deployed import (
    BASE,
    KEDA,
    KUBERNETES,
    ROOT,
    container,
    kustomization,
    named,
    objects,
    pods,
    variables,
)
from vwo_celery.operating.looks.alive import HUNG_SECONDS
from vwo_celery.operating.looks.lanes import Lanes
from vwo_celery.relay.serving.running import STOP_SECONDS
from vwo_celery.settings import Settings

#: How long Celery may wait for a child whose last result it has lost: billiard, 300 times 0.1 s.
POOL_SECONDS = 30
SPARE_SECONDS = 10
OLDEST, NEWEST = "1.29", "1.36"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_each_object_is_valid(version: str) -> None:
    """Each object is one of Kubernetes', without a field that it does not know."""
    found = objects()

    assert len(found) > 8
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)


def test_each_file_is_deployed() -> None:
    """The kustomization names every file beside it."""
    for folder in (BASE, KEDA):
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert {name for name in kustomization(folder)["resources"] if name[0] != "."} == files


def test_images_are_those_of_the_dockerfile() -> None:
    """Each container's image is a stage of the Dockerfile, with the release as its tag."""
    dockerfile = (ROOT / "compose" / "Dockerfile").read_text("utf-8")
    stages = {f"vwo-celery-{stage}" for stage in re.findall(r"(?m)^FROM .* AS (\w+)$", dockerfile)}
    used = {container(component)["image"] for component in pods()}

    assert used <= stages
    assert {image["name"] for image in kustomization(BASE)["images"]} == used
    release = vwo_celery.__version__
    assert {image["newTag"] for image in kustomization(BASE)["images"]} == {release}


@pytest.mark.parametrize("component", sorted(pods()))
def test_pods_are_restricted(component: str) -> None:
    """Each pod keeps to Kubernetes' profile *restricted*, with a root that nobody writes to."""
    pod, run = pods()[component], container(component)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert run["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert run["resources"]["limits"]["memory"]
    assert run["readinessProbe"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in run["volumeMounts"]} == volumes


@pytest.mark.parametrize("component", sorted(pods()))
def test_variables_are_settings(component: str) -> None:
    """What a pod sets are settings, as is what all pods share; nothing of it is a secret."""
    (shared,) = kustomization(BASE)["configMapGenerator"]
    given = dict(text.split("=", 1) for text in shared["literals"]) | variables(component)

    assert container(component)["envFrom"] == [
        {"configMapRef": {"name": shared["name"]}},
        {"secretRef": {"name": "vwo-celery"}},
    ]
    for name, value in given.items():
        setting = name.removeprefix("VWO_CELERY_").lower()
        assert setting in Settings.__struct_fields__
        assert Settings.load(**{setting: value})


def test_a_worker_that_is_stopped_may_finish() -> None:
    """A worker has time for its POST, for its pool, and some to spare."""
    needed = Settings().request_timeout_seconds + POOL_SECONDS + SPARE_SECONDS

    assert pods()["worker"]["terminationGracePeriodSeconds"] == needed


def test_a_relay_that_is_stopped_may_answer() -> None:
    """A relay has time for what comes until its address is taken away, and for what it has read."""
    waits = container("relay")["lifecycle"]["preStop"]["exec"]["command"]

    assert waits[0] == "sleep"
    assert pods()["relay"]["terminationGracePeriodSeconds"] > int(waits[1]) + STOP_SECONDS


def test_only_a_hung_worker_is_restarted() -> None:
    """A worker's liveness asks for its sign of life; the fleet's health restarts nobody."""
    run = container("worker")
    front = ["python", "-m", "workers.health"]

    assert run["livenessProbe"]["exec"]["command"] == [*front, "alive"]
    assert run["startupProbe"]["exec"]["command"] == [*front, "alive"]
    assert run["readinessProbe"]["exec"]["command"] == [*front, "self"]
    assert variables("worker")["VWO_CELERY_ALIVE_FILE"].startswith("/tmp/")
    assert HUNG_SECONDS < 60
    assert "livenessProbe" not in container("beat")
    for component in ("relay", "console"):
        assert container(component)["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container(component)["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_deploy_leaves_the_fleet_standing() -> None:
    """No worker or relay ends before another is ready; one at most is evicted; beat is alone."""
    for component in ("worker", "relay"):
        update = named("Deployment", component)["spec"]["strategy"]["rollingUpdate"]
        assert update == {"maxUnavailable": 0, "maxSurge": 1}
        assert named("PodDisruptionBudget", component)["spec"]["maxUnavailable"] == 1
    assert named("Deployment", "beat")["spec"]["strategy"] == {"type": "Recreate"}
    assert named("Deployment", "beat")["spec"]["replicas"] == 1


def test_selectors_find_their_pods() -> None:
    """Each selector of a deployment, budget, service and policy finds pods, and those alone it names."""
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects()
        if each["kind"] == "Deployment"
    ]
    for each in objects():
        spec = each["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        wanted = selector.get("matchLabels", selector)
        found = [pod for pod in labels if wanted.items() <= pod.items()]
        everybody = each["metadata"]["name"] == "vwo-celery-closed"
        assert len(found) == (len(labels) if everybody else 1), each["metadata"]["name"]


def test_nobody_comes_in_from_outside() -> None:
    """All pods refuse connections; the relay takes the cluster's, the console those with a label."""
    assert "ingress" not in named("NetworkPolicy", "closed")["spec"]
    (console,) = named("NetworkPolicy", "console")["spec"]["ingress"]
    assert [set(peer) for peer in console["from"]] == [{"namespaceSelector", "podSelector"}]
    for each in objects():
        assert each["kind"] != "Ingress"
        assert each["spec"].get("type", "ClusterIP") == "ClusterIP" or each["kind"] != "Service"


def test_services_lead_to_ports() -> None:
    """A service's target is a port of its pod, at which the command listens."""
    for component in ("relay", "console"):
        run = container(component)
        (port,) = run["ports"]
        (served,) = named("Service", component)["spec"]["ports"]
        assert served["targetPort"] == port["name"]
        assert f"0.0.0.0:{port['containerPort']}" in run["args"]


# -- KEDA


def scaler() -> dict[str, Any]:
    """The trigger that asks the console."""
    (trigger,) = named("ScaledObject", "worker", KEDA)["spec"]["triggers"]
    return dict(trigger)


def test_keda_asks_what_the_console_answers() -> None:
    """The URL is the console's service and a path of its API; the value is a field of its document."""
    metadata = scaler()["metadata"]
    service = named("Service", "console")
    (port,) = service["spec"]["ports"]
    host = f"http://{service['metadata']['name']}:{port['port']}"

    assert metadata["url"] == f"{host}/api/v1/scale"
    assert metadata["valueLocation"] in {field.name for field in msgspec.structs.fields(Lanes)}
    assert metadata["authMode"] == "bearer"


def test_a_worker_gets_as_many_lanes_as_it_has() -> None:
    """KEDA's target is the concurrency of a worker, whose deployment it scales."""
    words = container("worker")["args"]
    spec = named("ScaledObject", "worker", KEDA)["spec"]

    assert scaler()["metadata"]["targetValue"] == words[words.index("--concurrency") + 1]
    assert spec["scaleTargetRef"] == {"name": named("Deployment", "worker")["metadata"]["name"]}
    assert spec["minReplicaCount"] == 0
    (patch,) = kustomization(KEDA)["patches"]
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]


def test_keda_brings_a_secret() -> None:
    """The token that KEDA sends is that of a secret, by the name which the trigger gives it."""
    login = named("TriggerAuthentication", "scale", KEDA)

    assert scaler()["authenticationRef"]["name"] == login["metadata"]["name"]
    assert [each["parameter"] for each in login["spec"]["secretTargetRef"]] == ["token"]


def test_there_is_no_secret_in_it() -> None:
    """The files hold no key, token or password."""
    for path in KUBERNETES.rglob("*.yaml"):
        text = path.read_text("utf-8")
        assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), path
        assert "kind: Secret" not in text, path
