"""The values of the chart: all described, all checked, all with an effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.unit.repository.chart.conftest import CHART, Refused, Render

from kok.operators.cluster.settings import ClusterSettings
from kok.operators.etcd.settings import EtcdSettings
from kok.operators.machine.settings import MachineSettings
from kok.runtime.policy import Policies
from kok.runtime.settings import Settings

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
# What the chart itself decides, so that nobody can set it to something that does not fit.
DECIDED_BY_THE_CHART = {
    *{"namespaces", "lease_namespace", "identity", "http_host", "http_port"},
    *{"worker_image", "network_policies", "operator_pods", "scrapers"},
}


def _schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path or "(root)", schema
    for name, inner in schema.get("properties", {}).items():
        yield from _schemas(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _schemas(schema["items"], f"{path}[]")


def test_every_value_is_described() -> None:
    assert [path for path, schema in _schemas(SCHEMA) if not schema.get("description")] == []


def test_the_schema_and_the_defaults_have_the_same_values() -> None:
    def of_schema(schema: dict[str, Any]) -> set[str]:
        return set(schema.get("properties", {}))

    def compare(schema: dict[str, Any], values: Any, path: str) -> Iterator[str]:
        if not isinstance(values, dict) or not schema.get("properties") or values == {}:
            return
        for name in of_schema(schema) ^ set(values):
            yield f"{path}.{name}"
        for name in of_schema(schema) & set(values):
            yield from compare(schema["properties"][name], values[name], f"{path}.{name}")

    assert sorted(compare(SCHEMA, VALUES, "")) == [".global"]


def test_every_setting_of_the_operators_can_be_set() -> None:
    offered = set(SCHEMA["properties"]["settings"]["properties"])
    models = (Settings, EtcdSettings, ClusterSettings, MachineSettings)
    known = {name for model in models for name in model.model_fields}
    assert offered == known - DECIDED_BY_THE_CHART


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"replica": 3}, "'replica' not allowed"),
        ({"operators": {"etcd": {"replicas": -1}}}, "minimum"),
        ({"settings": {"log_level": "loud"}}, "must be one of"),
        ({"settings": {"http_port": 1}}, "'http_port' not allowed"),
        ({"settings": {"forbidden_ranges": ["metadata"]}}, "does not match pattern"),
        ({"watchNamespaces": ["Team A"]}, "does not match pattern"),
        ({"image": {"digest": "1.0"}}, "does not match pattern"),
        (
            {"singleProcess": True, "operators": {"etcd": {"enabled": False}}},
            "singleProcess runs all operators",
        ),
        (
            {"operators": {n: {"enabled": False} for n in ("etcd", "cluster", "machine")}},
            "every operator is turned off",
        ),
    ],
)
def test_wrong_values_are_refused(render: Render, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        render(**values)


def settings_of(
    render: Render, monkeypatch: pytest.MonkeyPatch, operator: str, **values: Any
) -> Policies:
    """What the pod of an operator would make of its environment."""
    found = render(**values).of("Deployment")[f"kok-{operator}"]
    (container,) = found["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    return Policies()


def test_policies_reach_the_operators(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    scraper = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mon"}}}
    found = settings_of(
        render,
        monkeypatch,
        "cluster",
        networkPolicy={"from": [scraper]},
        settings={
            "forbidden_ranges": ["169.254.0.0/16", "fd00:ec2::254/128"],
            "allowed_registries": [],
            "allowed_tolerations": ["dedicated"],
            "ssh_secrets_labelled": True,
        },
    )
    assert found.isolates()
    assert found.scrapers == (scraper,)
    assert found.operator_pods == {
        "app.kubernetes.io/name": "kok",
        "app.kubernetes.io/instance": "kok",
    }
    assert found.forbidden_ranges == ("169.254.0.0/16", "fd00:ec2::254/128")
    assert found.allowed_registries == ()
    assert found.allowed_tolerations == ("dedicated",)
    assert found.allowed_node_labels is None
    assert found.ssh_secrets_labelled


def test_network_policies_can_be_switched_off(
    render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not settings_of(render, monkeypatch, "etcd", networkPolicies=False).isolates()


def test_settings_reach_the_operators(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    found = render(
        settings={"resync": 600, "log_format": "text", "lease_renew": 2.5},
        watchNamespaces=["team-a", "team-b"],
    )
    (container,) = found.of("Deployment")["kok-etcd"]["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings()
    assert (settings.resync, settings.log_format, settings.lease_renew) == (600, "text", 2.5)
    assert settings.namespaces == ("team-a", "team-b")
