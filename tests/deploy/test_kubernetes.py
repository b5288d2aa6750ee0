"""The manifests for Kubernetes: valid by its own schemas, and of one piece with the shop."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from flashsale import queues
from tests import stack
from tests.deploy.test_containers import read_by_the_shop
from tests.stack import ROOT

MANIFESTS: dict[str, dict[str, Any]] = {
    f"{one['kind']} {one['metadata']['name']}": one
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yml"))
    for one in yaml.safe_load_all(path.read_text())
}
PODS = {
    name: one["spec"]["template"]["spec"]
    for name, one in MANIFESTS.items()
    if one["kind"] in ("Deployment", "Job")
}


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_kubernetes_understands_it(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_it_would_say_what_is_wrong() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            MANIFESTS["Service web"] | {"spec": {"ports": "8000"}}, "1.33", strict=True
        )


@pytest.mark.parametrize("name", PODS)
def test_each_role_has_no_more_rights_than_it_needs(name: str) -> None:
    pod = PODS[name]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (
        True,
        10001,
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert {"configMapRef": {"name": "shop"}} in container["envFrom"]


def test_roles_are_started_as_by_up() -> None:
    [worker], [beat] = (PODS[f"Deployment {role}"]["containers"] for role in ("worker", "beat"))
    assert worker["command"] + worker["args"] == ["python", *queues.WORKER]
    assert beat["command"] + beat["args"] == ["python", *stack.DEPLOYED_BEAT]
    assert MANIFESTS["Deployment beat"]["spec"]["replicas"] == 1
    for name, one in MANIFESTS.items():
        if one["kind"] == "HorizontalPodAutoscaler":
            target = f"Deployment {one['metadata']['name']}"
            assert "replicas" not in MANIFESTS[target]["spec"], name  # each `apply` would set it
    assert MANIFESTS["Deployment beat"]["spec"]["strategy"] == {
        "type": "Recreate"
    }  # never two at once


def test_what_is_named_is_there() -> None:
    assert MANIFESTS["ConfigMap shop"]["data"].keys() <= read_by_the_shop()
    for name, one in MANIFESTS.items():
        if one["kind"] == "HorizontalPodAutoscaler":
            target = one["spec"]["scaleTargetRef"]
            assert f"{target['kind']} {target['name']}" in MANIFESTS, name
        if one["kind"] in ("PodDisruptionBudget", "Service"):
            selector = one["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            labels = [
                pod["spec"]["template"]["metadata"]["labels"]
                for pod in MANIFESTS.values()
                if pod["kind"] == "Deployment"
            ]
            assert wanted in labels, name
    for pod in PODS.values():
        claims = [volume.get("persistentVolumeClaim") for volume in pod["volumes"]]
        assert all(f"PersistentVolumeClaim {c['claimName']}" in MANIFESTS for c in claims if c)
