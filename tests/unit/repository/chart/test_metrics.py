"""Alerts speak of metrics that there are."""

from __future__ import annotations

import importlib
import pkgutil
import re

import yaml
from prometheus_client import REGISTRY
from tests.unit.repository.chart.conftest import CHART, Render

import kok.operators
from kok.api import EtcdCluster
from kok.operators.etcd.etcdcluster.render import statefulset

ALERTS = (CHART / "files" / "alerts.yaml").read_text()


def exposed() -> set[str]:
    """The names of all samples that the operators may expose."""
    for module in pkgutil.walk_packages(kok.operators.__path__, "kok.operators."):
        if module.name.endswith("metrics"):
            importlib.import_module(module.name)
    importlib.import_module("kok.runtime.metrics")
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {
        f"{family.name}{suffix}"
        for family in REGISTRY.collect()
        for suffix in suffixes.get(family.type, ("",))
    }


def test_alerts_ask_for_metrics_that_exist() -> None:
    asked = set(re.findall(r"\bkok_[a-z_]+", str([r["expr"] for r in _rules()])))
    assert asked <= exposed()


def test_every_alert_says_what_is_wrong_and_how_bad() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_alerts_and_scraping_are_made_on_request_only(render: Render) -> None:
    monitors = ("serviceMonitor", "podMonitor", "prometheusRule")
    ours = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "NetworkPolicy"}
    assert not ours & {m["kind"] for m in render()}
    on = render(
        metrics={name: {"enabled": True} for name in monitors}, networkPolicy={"enabled": True}
    )
    assert ours <= {m["kind"] for m in on}
    made = yaml.safe_load(ALERTS.replace("runbooks:", "docs/"))
    assert on.of("PrometheusRule")["kok-metrics"]["spec"] == made


def test_members_are_found_where_the_operator_makes_them(render: Render) -> None:
    obj = EtcdCluster.parse(
        {"metadata": {"name": "shop-etcd", "namespace": "team-a", "uid": "u"}, "spec": {}}
    )
    pod = statefulset(obj, "shop-etcd-0", "ca")["spec"]["template"]
    everywhere = render(metrics={"podMonitor": {"enabled": True}})
    spec = everywhere.of("PodMonitor")["kok-etcd"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]

    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert endpoint["port"] in {p["name"] for p in pod["spec"]["containers"][0]["ports"]}
    found = {
        re.sub(r"[./-]", "_", f"__meta_kubernetes_pod_label_{label}")
        for label in pod["metadata"]["labels"]
    }
    assert {one["sourceLabels"][0] for one in endpoint["relabelings"]} <= found
    assert spec["namespaceSelector"] == {"any": True}
    some = render(metrics={"podMonitor": {"enabled": True}}, watchNamespaces=["team-a"])
    chosen = some.of("PodMonitor")["kok-etcd"]["spec"]["namespaceSelector"]
    assert chosen == {"matchNames": ["team-a"]}


def _rules() -> list[dict[str, dict[str, str]]]:
    return [rule for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
