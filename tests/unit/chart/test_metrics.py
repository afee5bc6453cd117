"""Alerts speak of metrics that there are."""

from __future__ import annotations

import importlib
import pkgutil
import re

import yaml
from prometheus_client import REGISTRY
from tests.unit.chart.conftest import CHART, Render

import kok.operators

ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())


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
    ours = {"ServiceMonitor", "PrometheusRule", "NetworkPolicy"}
    assert not ours & {m["kind"] for m in render()}
    on = render(
        metrics={"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
        networkPolicy={"enabled": True},
    )
    assert ours <= {m["kind"] for m in on}
    assert on.of("PrometheusRule")["kok-metrics"]["spec"] == ALERTS


def _rules() -> list[dict[str, dict[str, str]]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]
