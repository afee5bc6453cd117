"""What a user may get wrong about a FleetUpgrade, with the sentence that he gets."""

from __future__ import annotations

from typing import Any

from tests.crds.cases.case import Case, named, of

RECORDED = "the plan is recorded at the start; delete the FleetUpgrade and create another one"
LABELS = (
    "write names such as tier or example.com/tier, and values of at most 63 letters, digits, "
    "dashes, dots and underscores"
)
LABEL = "write a label such as tier or example.com/tier"
VALUES = "operators In and NotIn need values, and Exists and DoesNotExist take none"
SHARE = "write a number from 1 to 9999, or a share from 1% to 100%, such as 10 or 25%"
ONE_TARGET = "spec.target: write exactly one of version, latestPatch: true and fixes"
ONE_CHOICE = (
    "spec.waves: write one of selector, percent and names, or none of them in the last wave, which "
    "then takes the rest"
)
REST_LAST = (
    "spec.waves: only the last wave may do without selector, percent and names: it takes the rest"
)


def _of(field: str, sentence: str, spec: dict[str, Any], was: dict[str, Any] | None = None) -> Case:
    return of("FleetUpgrade", field, sentence, spec, was)


def _fixed(field: str, value: Any) -> Case:
    return _of(f"spec.{field}", f"spec.{field} cannot be changed; {RECORDED}", {field: value}, {})


def _selecting(part: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    return (
        ("spec.selector", {"selector": part}),
        ("spec.waves[0].selector", {"waves": [{"name": "one", "selector": part}]}),
    )


FLEETS = (
    named(
        "FleetUpgrade", "a" * 64, "metadata.name is longer than 63 characters; write a shorter one"
    ),
    _of("spec.target", ONE_TARGET, {"target": {}}),
    _of("spec.target", ONE_TARGET, {"target": {"version": "1.37.1", "latestPatch": True}}),
    _of(
        "spec.target.version",
        "spec.target.version: 1.39.0 is not supported; this release knows 1.34 to 1.37",
        {"target": {"version": "1.39.0"}},
    ),
    _of(
        "spec.target.version",
        "spec.target.version: v1.37.1 is not a Kubernetes version; write one such as 1.37.1, without a "
        "leading v",
        {"target": {"version": "v1.37.1"}},
    ),
    _of(
        "spec.waves[0]",
        ONE_CHOICE,
        {"waves": [{"name": "one", "percent": 10, "names": ["shop"]}]},
    ),
    _of("spec.waves", REST_LAST, {"waves": [{"name": "all"}, {"name": "one", "percent": 5}]}),
    _of("spec.waves", REST_LAST, {"waves": [{"name": "all"}, {"name": "more"}]}),
    *(
        _of("spec.stopAfterFailures", SHARE, {"stopAfterFailures": wrong})
        for wrong in (0, "0%", "101%", "many")
    ),
    _of(
        "spec.waves[0].maxParallel",
        SHARE,
        {"waves": [{"name": "one", "maxParallel": "all"}]},
    ),
    *(
        _of(f"{where}.matchLabels", LABELS, spec)
        for where, spec in _selecting({"matchLabels": {"tier": "web server"}})
    ),
    *(
        _of(f"{where}.matchExpressions[0]", VALUES, spec)
        for where, spec in _selecting({"matchExpressions": [{"key": "tier", "operator": "In"}]})
    ),
    *(
        _of(f"{where}.matchExpressions[0].key", LABEL, spec)
        for where, spec in _selecting({"matchExpressions": [{"key": "a b", "operator": "Exists"}]})
    ),
    _fixed("selector", {"matchLabels": {"tier": "web"}}),
    _fixed("namespaces", ["team-a"]),
    _fixed("target", {"version": "1.37.0"}),
    _fixed("waves", [{"name": "all"}]),
    _fixed("nodes", "Never"),
    _fixed("dryRun", True),
    _of(
        "spec.abort",
        "spec.abort cannot be taken back; create another FleetUpgrade for what is left",
        {"abort": False},
        {"abort": True},
    ),
)


_MANY: dict[str, Any] = {"cluster": "", "clusters": {}}
ONE_OR_MANY = "spec: write exactly one of cluster (a name) and clusters (a selector)"
FOR_MANY = (
    "spec.overrides, spec.rollout and spec.whenUnselected are for an Addon of many Clusters; leave them "
    "out, or write spec.clusters instead of spec.cluster"
)


def _many(field: str, sentence: str, spec: dict[str, Any]) -> Case:
    return of("Addon", field, sentence, {**_MANY, **spec})


def _labelled(part: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    return (
        ("spec.clusters", {"clusters": part}),
        ("spec.overrides[0].clusters", {"overrides": [{"clusters": part, "values": {}}]}),
        ("spec.rollout.waves[0].selector", _waves({"name": "one", "selector": part})),
    )


def _waves(*waves: dict[str, Any]) -> dict[str, Any]:
    return {"rollout": {"waves": list(waves)}}


MANY_ADDONS = (
    of("Addon", "spec", ONE_OR_MANY, {"cluster": ""}),
    of("Addon", "spec", ONE_OR_MANY, {"clusters": {}}),
    *(
        of("Addon", "spec", FOR_MANY, wrong)
        for wrong in (
            {"overrides": [{"names": ["shop"], "values": {}}]},
            {"rollout": {}},
            {"whenUnselected": "Orphan"},
        )
    ),
    *(
        _many(
            "spec.overrides[0]",
            "spec.overrides: write exactly one of clusters (a selector) and names",
            {"overrides": [{**wrong, "values": {}}]},
        )
        for wrong in ({}, {"clusters": {}, "names": ["shop"]})
    ),
    _many(
        "spec.rollout.waves[0]",
        ONE_CHOICE.replace("spec.waves", "spec.rollout.waves"),
        _waves({"name": "one", "percent": 10, "names": ["shop"]}),
    ),
    _many(
        "spec.rollout.waves",
        REST_LAST.replace("spec.waves", "spec.rollout.waves"),
        _waves({"name": "all"}, {"name": "one", "percent": 5}),
    ),
    _many("spec.rollout.stopAfterFailures", SHARE, {"rollout": {"stopAfterFailures": 0}}),
    _many("spec.rollout.waves[0].maxParallel", SHARE, _waves({"name": "a", "maxParallel": "all"})),
    *(
        _many(f"{where}.matchLabels", LABELS, spec)
        for where, spec in _labelled({"matchLabels": {"tier": "web server"}})
    ),
    *(
        _many(f"{where}.matchExpressions[0]", VALUES, spec)
        for where, spec in _labelled({"matchExpressions": [{"key": "tier", "operator": "In"}]})
    ),
    *(
        _many(f"{where}.matchExpressions[0].key", LABEL, spec)
        for where, spec in _labelled({"matchExpressions": [{"key": "a b", "operator": "Exists"}]})
    ),
)
