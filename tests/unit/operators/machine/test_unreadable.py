"""Machines, Hosts and KubeNodes that cannot be read: what depends on them is left as it is."""

from __future__ import annotations

import time
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api import names
from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.meta import Resource
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.lists.tolerant import listed
from kok.kube.objects.ownership import owned
from kok.operators.machine.host.reconcile import HostReconciler
from kok.operators.machine.kubenode import claims
from kok.operators.machine.kubenode.observe import observe
from kok.operators.machine.kubenode.reconcile import KubeNodeReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.certificates import reserved_for
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass
from kok.runtime.policy import Policies
from kok.runtime.settings import Settings

ROOT = "/apis/kok.dev/v1alpha1/namespaces/team-a"


def passing(kube: Kube, obj: Resource) -> Pass[Any]:
    return Pass(
        obj=obj,
        status=obj.status.model_copy(deep=True),
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


def pool_host(name: str = "w1", **spec: Any) -> Host:
    used = {"machine": "shop-workers-w1", "uid": "uid-shop-workers-w1", "cluster": "shop"}
    return Host.parse(
        {
            "metadata": builders.meta(name),
            "spec": {"address": "192.0.2.21", "ssh": {"secret": "ops-ssh"}, **spec},
            "status": {"usedBy": used},
        }
    )


class Untouchable:
    """In place of what cleans hosts: nobody may call it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the host of a Machine that is there was to be cleaned: {name}")


async def test_the_host_of_a_machine_that_cannot_be_read_is_not_cleaned(
    api: FakeApi, kube: Kube
) -> None:
    odd = builders.machine(metadata={"labels": {names.LABEL_HOST: "w1"}}).manifest()
    odd["spec"]["port"] = "twenty-two"
    api.put(f"{ROOT}/machines/shop-workers-w1", odd)
    cleaner: Any = Untouchable()
    hosts = HostReconciler(cleaner, MachineSettings())
    for act in (hosts.reconcile, hosts.finalize):
        p = passing(kube, pool_host())
        with pytest.raises(Wait, match="its Machine is not known: Machine team-a/shop-workers-w1"):
            await act(p)
        assert p.status.used_by is not None


def test_hosts_of_what_cannot_be_read_are_taken() -> None:
    kubenode = builders.kubenode(replicas=1, pool={})
    other = {"metadata": builders.meta("other"), "spec": 7, "status": {"claims": ["a", 1]}}
    by_hand = builders.machine(address="b.example").manifest()
    by_hand["spec"]["node"] = 7
    odd = (
        *listed(type(kubenode), [other]).odd,
        *listed(Machine, [by_hand]).odd,
    )
    assert len(odd) == 2
    hosts = [pool_host(n, address=f"{n}.example") for n in "abc"]
    assert claims.taken_by_others(kubenode, [], [], hosts, odd=odd) == {"a", "b"}


async def test_no_host_is_replaced_because_it_or_its_machine_cannot_be_read(
    api: FakeApi, kube: Kube
) -> None:
    kubenode = builders.kubenode(replicas=1, pool={}, status={"claims": ["w1"]})
    api.put(f"{ROOT}/clusters/shop", builders.cluster().manifest())
    good, odd = pool_host().manifest(), pool_host().manifest()
    odd["spec"]["port"] = "twenty-two"
    api.put(f"{ROOT}/hosts/w2", pool_host("w2", address="192.0.2.22").manifest())
    reconciler = KubeNodeReconciler(Policies(), MachineLists(time.monotonic))
    api.put(f"{ROOT}/hosts/w1", odd)
    with pytest.raises(Unreadable, match=r"Host team-a/w1 cannot be read: spec\.port"):
        await _places(reconciler, kube, kubenode)
    api.put(f"{ROOT}/hosts/w1", good)
    machine = owned(builders.machine(metadata={"name": "shop-workers-w1"}).manifest(), kubenode)
    machine["spec"]["port"] = "twenty-two"
    api.put(f"{ROOT}/machines/shop-workers-w1", machine)
    with pytest.raises(Unreadable, match="Machine team-a/shop-workers-w1 cannot be read"):
        await reconciler.reconcile(passing(kube, kubenode))
    assert not [w for w in api.writes if "hosts" in w[1] or "machines" in w[1]]


@pytest.mark.parametrize("port", [22, "twenty-two"])
async def test_a_machine_without_its_labels_is_still_its_kubenodes(
    api: FakeApi, kube: Kube, port: int | str
) -> None:
    kubenode = builders.kubenode()
    machine = owned(builders.machine(metadata={"name": "shop-workers-w1"}).manifest(), kubenode)
    machine["metadata"]["labels"] = {}
    machine["spec"]["port"] = port
    api.put(f"{ROOT}/machines/shop-workers-w1", machine)
    api.put(f"{ROOT}/machines/by-hand", builders.machine(metadata={"name": "by-hand"}).manifest())
    reconciler = KubeNodeReconciler(Policies(), MachineLists(time.monotonic))
    with pytest.raises(Wait, match=r"waiting for 1 Machines: (Machine team-a/)?shop-workers-w1"):
        await reconciler.finalize(passing(kube, kubenode))


async def test_a_kubenode_goes_after_its_machine_also_if_that_cannot_be_read(
    api: FakeApi, kube: Kube
) -> None:
    kubenode = builders.kubenode()
    machine = owned(builders.machine(metadata={"name": "shop-workers-w1"}).manifest(), kubenode)
    machine["spec"]["port"] = "twenty-two"
    machine["metadata"]["finalizers"] = ["kok.dev/machine-operator"]
    path = f"{ROOT}/machines/shop-workers-w1"
    api.put(path, machine)
    reconciler = KubeNodeReconciler(Policies(), MachineLists(time.monotonic))
    for _ in range(2):
        with pytest.raises(Wait, match="waiting for 1 Machines: Machine team-a/shop-workers-w1"):
            await reconciler.finalize(passing(kube, kubenode))
    assert api.objects[path]["metadata"]["deletionTimestamp"]
    del api.objects[path]
    await reconciler.finalize(passing(kube, kubenode))


async def test_the_addresses_of_a_machine_that_cannot_be_read_are_still_its_own(
    api: FakeApi, kube: Kube
) -> None:
    for name, cluster, address in (("a", "shop", "192.0.2.5"), ("b", "blog", "192.0.2.6")):
        odd = builders.machine(metadata={"name": name}, cluster=cluster, address=address)
        manifest = odd.manifest()
        manifest["spec"]["port"] = "twenty-two"
        manifest["spec"]["addresses"] = [f"{address}5", 7]
        api.put(f"{ROOT}/machines/{name}", manifest)
    machine = builders.machine()
    there = await MachineLists(time.monotonic).now(kube, machine.namespace)
    reserved = reserved_for(machine, builders.cluster(), [], there)
    assert reserved.of("192.0.2.5") == reserved.of("192.0.2.55") == "an address of Machine a"
    assert reserved.of("192.0.2.6") is None


async def _places(reconciler: KubeNodeReconciler, kube: Kube, kubenode: Any) -> None:
    p = passing(kube, kubenode)
    await reconciler._hosts(p, await observe(p, MachineLists(time.monotonic)))
