"""What a pass over a Cluster keeps of its children, whatever others hang on them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster, quick_pair
from tests.unit.operators.cluster.cluster.pki.test_credentials import issue
from tests.unit.operators.cluster.cluster.render.test_children import FULL, everything

from kok.api import names
from kok.api.meta import Manifest
from kok.kube.apply.serverside import covers, stamped
from kok.kube.budget.limits import MIB
from kok.kube.budget.pass_memory import PassMemory
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned, owned_by_label
from kok.operators.cluster.cluster.caches import MetaNodeCache
from kok.operators.cluster.cluster.children import RULES, keep_children, keep_whole
from kok.operators.cluster.cluster.observe import CHILDREN, observe
from kok.operators.cluster.cluster.pki.keys import KeyRing
from kok.operators.cluster.cluster.render import networkpolicy
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.naming import key_secrets
from kok.runtime.children.ensure import Children
from kok.runtime.clock import FakeClock

SHOP = a_cluster()
NOTE = "\U0001f600" + "n" * 200_000
"""An annotation that takes 800 KB of memory."""


def adorned(intent: Manifest) -> Manifest:
    """A child as it is stored, with what anybody may hang on it."""
    child = owned(stamped(intent), SHOP)
    child["metadata"]["annotations"] |= {"somebody": NOTE}
    if child["kind"] == "Secret":
        child["data"] = {**child["data"], "somebody": "c29t" * 50_000}
    return child


async def intents(**spec: Any) -> list[Manifest]:
    """All that a Cluster is made of."""
    resolved = resolve(a_cluster(**spec))
    keys = await KeyRing(SHOP, {}, NOW, quick_pair).settle()
    around = networkpolicy.PolicyInputs((), (), (), ())
    return [*everything(resolved), *networkpolicy.policies(resolved, around), *issue(keys).secrets]


@pytest.mark.parametrize("spec", [{}, FULL])
async def test_nothing_is_left_out_that_a_child_is_compared_by(spec: dict[str, Any]) -> None:
    """Else it would be written anew with every pass, or a key be made over the one there is."""
    for intent in await intents(**spec):
        [kind] = [kind for kind in CHILDREN if kind.kind == intent["kind"]]
        child = adorned(intent)
        found = keep_children(SHOP, kind)(child)
        assert covers(found, owned(stamped(intent), SHOP)), intent["metadata"]["name"]
        assert keep_whole(SHOP)(child) == found
        assert "somebody" not in found["metadata"]["annotations"]
        assert not (found.get("data") or {}).get("somebody")


async def test_a_pass_holds_no_more_of_children_than_it_reads(api: FakeApi, kube: Kube) -> None:
    everything_ = [adorned(intent) for intent in await intents()]
    paths = {kind.kind: kind for kind in CHILDREN}
    for child in everything_:
        kind = paths[child["kind"]]
        group = f"/apis/{kind.group}" if kind.group else "/api"
        name = child["metadata"]["name"]
        api.put(f"{group}/{kind.version}/namespaces/{SHOP.namespace}/{kind.plural}/{name}", child)
        # The name of a Secret is nothing that a Service has to be kept for.
        other = names.cluster_ca_secret(SHOP.name)
        if kind.kind != "Secret":
            path = f"{group}/{kind.version}/namespaces/{SHOP.namespace}/{kind.plural}/{other}"
            meta = {**child["metadata"], "name": other}
            api.put(path, {**child, "metadata": meta, "spec": {"x": "x" * 500_000}})
    memory = PassMemory(MIB)
    view = await observe(kube.apart(memory), SHOP, MetaNodeCache(), FakeClock())
    assert len(view.children) >= len(everything_)
    assert memory.size < MIB // 2


async def test_what_is_written_is_kept_without_what_hangs_on_it(api: FakeApi, kube: Kube) -> None:
    for intent in await intents():
        if intent["kind"] != "Secret":
            continue
        child = adorned(intent)
        path = f"/api/v1/namespaces/{SHOP.namespace}/secrets/{child['metadata']['name']}"
        stored = api.put(path, {**child, "type": "changed by somebody"})
        live = {("Secret", child["metadata"]["name"]): stored}
        [found] = await Children(kube, SHOP, RULES).ensure([intent], live)
        assert len(str(found)) < 50_000
        is_key = intent["metadata"]["name"] in key_secrets(SHOP.name)
        assert covers(found, stamped((owned_by_label if is_key else owned)(intent, SHOP)))
