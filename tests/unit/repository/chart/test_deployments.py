"""What is deployed: an operator a Deployment, or all in one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.repository.chart.conftest import CHART, Render

OPERATORS = ("cluster", "etcd", "machine")


def _args(deployment: dict[str, Any]) -> list[str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return list(container["args"])


def test_each_operator_is_a_deployment_of_its_own(render: Render) -> None:
    found = render().of("Deployment")
    assert {name: _args(d) for name, d in found.items()} == {
        f"kok-{name}": ["operator", name] for name in OPERATORS
    }


def test_all_operators_can_share_one_process(render: Render) -> None:
    found = render(singleProcess=True)
    assert {name: _args(d) for name, d in found.of("Deployment").items()} == {
        "kok-operator": ["operator", "--all"]
    }
    assert set(found.of("ServiceAccount")) == {"kok-operator"}


def test_an_operator_that_is_off_leaves_nothing(render: Render) -> None:
    found = render(operators={"machine": {"enabled": False}})
    assert [m["metadata"]["name"] for m in found if "machine" in m["metadata"]["name"]] == []


def test_a_release_of_another_name_keeps_its_objects_apart(render: Render) -> None:
    names = {(m["kind"], m["metadata"]["name"]) for m in render()}
    others = {(m["kind"], m["metadata"]["name"]) for m in render(_release="second")}
    # Like their Leases the operators' list of abandoned hosts is one for each namespace.
    assert names & others == {("ConfigMap", "kok-abandoned-hosts")}


def test_everything_stays_in_the_release_namespace(render: Render) -> None:
    cluster_wide = {
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    found = {m["metadata"].get("namespace") for m in render() if m["kind"] not in cluster_wide}
    assert found == {"kok-system"}


def test_a_digest_wins_over_the_tag(render: Render) -> None:
    digest = "sha256:" + "0" * 64
    found = render(image={"repository": "mirror.example/kok", "tag": "1", "digest": digest})
    images = {
        c["image"]
        for d in found.of("Deployment").values()
        for c in d["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"mirror.example/kok@{digest}"}


def test_pods_are_selected_by_labels_that_they_carry(render: Render) -> None:
    found = render(podLabels={"team": "platform"})
    service = found.of("Service")["kok-metrics"]["spec"]["selector"].items()
    for deployment in found.of("Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
        assert service <= labels


def test_a_deployments_selector_matches_no_other(render: Render) -> None:
    selectors = [
        tuple(sorted(d["spec"]["selector"]["matchLabels"].items()))
        for d in render().of("Deployment").values()
    ]
    assert len(set(selectors)) == len(selectors)


@pytest.mark.parametrize("name", [f.name for f in sorted((CHART / "ci").glob("*.yaml"))])
def test_every_set_of_values_for_ci_renders(render: Render, name: str) -> None:
    values = yaml.safe_load((CHART / "ci" / name).read_text())
    assert render(**values).of("Deployment")
