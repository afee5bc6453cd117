"""What may be written is taken as it is, and what is left out is filled in as the models say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crds import asking, samples, schemas

from kok.api import KINDS
from kok.api.meta import Resource
from kok.kube.client import Kube

pytestmark = pytest.mark.usefixtures("kok_crds")
BY_KIND = {k.info.kind.kind: k for k in KINDS}
FULL = [
    pytest.param(kind, spec, id=f"{kind}-{n}")
    for kind, specs in samples.FULL.items()
    for n, spec in enumerate(specs)
]


def contains(whole: Any, part: Any) -> bool:
    """Whether all that `part` says is in `whole`."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            k in whole and contains(whole[k], v) for k, v in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize(("kind", "spec"), FULL)
async def test_nothing_that_a_user_writes_is_lost(
    kube: Kube, namespace: str, kind: str, spec: dict[str, Any]
) -> None:
    stored = await asking.created(kube, namespace, samples.manifest(kind, spec))
    assert contains(stored["spec"], spec)


@pytest.mark.parametrize(("kind", "spec"), FULL)
async def test_the_operators_read_what_the_user_wrote(
    kube: Kube, namespace: str, kind: str, spec: dict[str, Any]
) -> None:
    stored = await asking.created(kube, namespace, samples.manifest(kind, spec))
    read: Resource = BY_KIND[kind].parse(stored)
    assert read.spec.manifest() == stored["spec"]


@pytest.mark.parametrize("kind", samples.MINIMAL)
async def test_defaults_are_those_of_the_models(kube: Kube, namespace: str, kind: str) -> None:
    wanted = samples.manifest(kind, samples.MINIMAL[kind])
    stored = await asking.created(kube, namespace, wanted)
    of_the_model = BY_KIND[kind].parse({**wanted, "spec": wanted.get("spec", {})}).spec.manifest()
    assert stored["spec"] == of_the_model


def test_the_samples_set_every_field() -> None:
    unset = [
        f"{kind}.{'.'.join(path)}"
        for kind in schemas.crds()
        for path, _ in schemas.nodes(kind, "spec")
        if not any(_reaches({"spec": spec}, path) for spec in samples.FULL[kind])
    ]
    assert not unset, "add them to FULL in tests/crds/samples.py"


def _reaches(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    head, *rest = path
    if head == schemas.ITEM:
        return any(_reaches(item, tuple(rest)) for item in value)
    if head == schemas.VALUE:
        return any(_reaches(item, tuple(rest)) for item in value.values())
    return head in value and _reaches(value[head], tuple(rest))


async def test_a_first_cluster_gets_what_a_good_engineer_would_choose(
    kube: Kube, namespace: str
) -> None:
    stored = await asking.created(
        kube, namespace, samples.manifest("Cluster", {"version": "1.37.1"})
    )
    assert contains(
        stored["spec"],
        {
            "profile": "standard",
            "endpoint": {"type": "NodePort"},
            "network": {
                "podCIDRs": ["10.64.0.0/16"],
                "serviceCIDRs": ["10.65.0.0/20"],
                "dnsDomain": "cluster.local",
            },
            "etcd": {"storage": {"size": "8Gi"}},
            "certificates": {"leafDuration": "8760h", "renewBefore": "720h"},
            "deletionPolicy": "Delete",
            "paused": False,
        },
    )


async def test_a_name_within_a_part_of_the_network_keeps_the_other_defaults(
    kube: Kube, namespace: str
) -> None:
    spec = {"version": "1.37.1", "network": {"dnsDomain": "shop.internal"}}
    stored = await asking.created(kube, namespace, samples.manifest("Cluster", spec))
    assert stored["spec"]["network"]["podCIDRs"] == ["10.64.0.0/16"]


async def test_a_misspelt_field_is_named(kube: Kube, namespace: str) -> None:
    spec = {"version": "1.37.1", "netwerk": {}}
    found = await asking.refusals(kube, namespace, samples.manifest("Cluster", spec))
    assert [r for r in found if 'unknown field "spec.netwerk"' in r.message]
