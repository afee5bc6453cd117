"""The operators' rights fit their code: each kind that is watched, and none that is never touched."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.repository.chart.conftest import CHART

from kok.api import GROUP, KINDS
from kok.api.meta import Kind
from kok.kube import kinds
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.settings import Settings

OPERATORS = ("etcd", "cluster", "machine")
SOURCES = Path(__file__).parents[4] / "src" / "kok" / "operators"
NAMES = {
    (value.group, value.plural): f"kinds.{name}"
    for name, value in vars(kinds).items()
    if isinstance(value, Kind)
} | {(GROUP, k.info.kind.plural): k.__name__ for k in KINDS}
# What the runtime does for every operator, and what it reads of events for some.
OF_THE_RUNTIME = {"leases", "events"}


def rules(operator: str) -> list[dict[str, Any]]:
    """All rules of an operator's own file."""
    text = (CHART / "files" / "rbac" / f"{operator}.yaml").read_text()
    return [rule for of in yaml.safe_load(text).values() for rule in of]


def verbs(operator: str, kind: Kind, subresource: str = "") -> set[str]:
    """What an operator may do to a kind."""
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    return {
        verb
        for rule in rules(operator)
        if kind.group in rule["apiGroups"] and resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(params=OPERATORS)
def spec(request: pytest.FixtureRequest) -> OperatorSpec:
    """Each operator in turn, as the process would run it."""
    module = importlib.import_module(f"kok.operators.{request.param}")
    found = module.operator(Settings())
    assert isinstance(found, OperatorSpec)
    return found


def test_every_kind_that_wakes_an_operator_may_be_watched(spec: OperatorSpec) -> None:
    watched = {wake.kind for r in spec.reconcilers for wake in r.wakes_on}
    watched |= {r.model.info.kind for r in spec.reconcilers}
    assert {k.kind for k in watched if not {"list", "watch"} <= verbs(spec.name, k)} == set()


def test_an_operator_may_keep_the_objects_that_are_its_business(spec: OperatorSpec) -> None:
    for kind in (r.model.info.kind for r in spec.reconcilers):
        assert {"get", "patch"} <= verbs(spec.name, kind)
        assert "patch" in verbs(spec.name, kind, "status")


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_kind_with_a_right_is_used(operator: str) -> None:
    source = "\n".join(f.read_text() for f in sorted((SOURCES / operator).rglob("*.py")))
    granted = {
        (group, resource.split("/")[0])
        for rule in rules(operator)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if resource not in OF_THE_RUNTIME
    }
    assert {g for g in granted if NAMES.get(g, "nothing of ours") not in source} == set()
