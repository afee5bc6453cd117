"""Every rule of the API answers a user's mistake with its sentence, on a real API server."""

from __future__ import annotations

import pytest
from tests.crds import asking, samples, schemas
from tests.crds.cases import CASES
from tests.crds.cases.case import Case

from kok.kube.client import Kube
from kok.kube.http.paths import object_path

pytestmark = pytest.mark.usefixtures("kok_crds")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_mistake_is_answered_with_what_to_write(
    kube: Kube, namespace: str, case: Case
) -> None:
    manifest = samples.manifest(case.kind, case.spec, case.name)
    if case.was is not None:
        path = object_path(asking.kind_named(case.kind), namespace)
        old = await kube.raw("POST", path, samples.manifest(case.kind, case.was, case.name))
        if case.runs is not None:
            patch = {"status": {"version": case.runs}}
            kind, name = asking.kind_named(case.kind), old["metadata"]["name"]
            old = await kube.patch(kind, name, namespace, patch, subresource="status")
        manifest["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    found = await asking.refusals(kube, namespace, manifest, instead_of=case.was is not None)
    assert [(r.field.removeprefix("<nil>"), r.says(case.sentence)) for r in found] == [
        (case.field, True)
    ], found


@pytest.mark.parametrize("rule", schemas.rules(), ids=str)
def test_every_rule_has_a_case(rule: schemas.Rule) -> None:
    if rule.is_format:
        return  # test_formats.py tries each of them
    where = ".".join(rule.path).replace(".[]", "[0]")
    assert any(
        case.kind == rule.kind and case.field == where and rule.answers(case.sentence)
        for case in CASES
    ), f"write a case for {rule} in tests/crds/cases"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.36.4", "1.36.4"),
        ("1.36.3", "1.36.4"),
        ("1.36.4", "1.37.0"),
        ("1.34.9", "1.35.0"),
        ("1.35.10", "1.36.9"),
    ],
)
async def test_upgrades_by_patch_or_one_minor_are_taken(
    kube: Kube, namespace: str, before: str, after: str
) -> None:
    path = object_path(asking.kind_named("Cluster"), namespace)
    old = await kube.raw("POST", path, samples.manifest("Cluster", {"version": before}))
    manifest = {**old, "spec": {**old["spec"], "version": after}}
    stored = await asking.replaced(kube, namespace, manifest)
    assert stored["spec"]["version"] == after


@pytest.mark.parametrize(
    ("runs", "before", "after", "refused"),
    [
        # No image of it: back to what still runs, or on to one that there is.
        ("1.37.1", "1.37.99", "1.37.1", False),
        ("1.36.4", "1.37.99", "1.36.4", False),
        ("1.36.4", "1.37.99", "1.37.1", False),
        # What a patch level wrote all of its minor can read.
        ("1.36.4", "1.37.1", "1.36.3", False),
        ("1.36.4", "1.37.1", "1.35.4", True),
        # Nothing ever ran.
        (None, "1.37.99", "1.36.4", False),
    ],
)
async def test_a_version_that_cannot_run_can_be_taken_back(
    kube: Kube, namespace: str, runs: str | None, before: str, after: str, refused: bool
) -> None:
    kind = asking.kind_named("Cluster")
    sample = samples.manifest("Cluster", {"version": before})
    old = await kube.raw("POST", object_path(kind, namespace), sample)
    if runs is not None:
        patch = {"status": {"version": runs}}
        old = await kube.patch(kind, "sample", namespace, patch, subresource="status")
    manifest = {**old, "spec": {**old["spec"], "version": after}}
    found = await asking.refusals(kube, namespace, manifest, instead_of=True)
    assert bool(found) is refused, found


@pytest.mark.parametrize(
    ("runs", "before", "after", "refused"),
    [
        (None, "3.6.8", "3.6.10", False),
        (None, "3.6.11", "3.7.3", False),
        ("3.6.8", "3.6.8", "3.6.10", False),
        # Stuck half-way, or refused by a gate: back, or to another version that is no way down.
        ("3.6.8", "3.6.10", "3.6.8", False),
        ("3.6.8", "3.7.3", "3.6.11", False),
        ("3.6.8", "3.6.10", "3.6.7", True),
        ("3.6.10", "3.6.10", "3.6.8", True),
        # Not yet arrived at the minor before it.
        ("3.5.26", "3.6.11", "3.7.3", True),
    ],
)
async def test_etcd_is_upgraded_from_what_runs(
    kube: Kube, namespace: str, runs: str | None, before: str, after: str, refused: bool
) -> None:
    kind = asking.kind_named("EtcdCluster")
    sample = samples.manifest("EtcdCluster", {"version": before})
    old = await kube.raw("POST", object_path(kind, namespace), sample)
    if runs is not None:
        patch = {"status": {"version": runs}}
        old = await kube.patch(kind, "sample", namespace, patch, subresource="status")
    manifest = {**old, "spec": {**old["spec"], "version": after}}
    found = await asking.refusals(kube, namespace, manifest, instead_of=True)
    assert bool(found) is refused, found


@pytest.mark.parametrize(
    "network",
    [
        {"podCIDRs": ["10.64.0.0/24"], "serviceCIDRs": ["10.64.1.0/28"]},
        {"podCIDRs": ["fd00:1::/64"], "serviceCIDRs": ["fd00:2::/108"]},
        {
            "podCIDRs": ["fd00:1::/48", "172.16.0.0/16"],
            "serviceCIDRs": ["fd00:2::/112", "172.17.0.0/16"],
        },
    ],
)
async def test_networks_of_every_family_are_taken(
    kube: Kube, namespace: str, network: dict[str, list[str]]
) -> None:
    spec = {"version": "1.37.1", "network": network}
    assert await asking.refusals(kube, namespace, samples.manifest("Cluster", spec)) == []


async def test_a_kubenode_may_have_no_host_yet(kube: Kube, namespace: str) -> None:
    manifest = samples.manifest("KubeNode", {"cluster": "shop", "hosts": []})
    assert await asking.refusals(kube, namespace, manifest) == []
