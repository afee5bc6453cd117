"""The operator ends between any two writes: what it finds afterwards is enough to go on."""

from __future__ import annotations

import itertools

from tests.integration.operators.etcd.conftest import ETCD, World
from tests.integration.operators.etcd.killing import FINALIZER, Mortal

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.pki import ca_of, decode, fingerprint


async def test_a_creation_cut_off_after_any_write_converges_to_the_same(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    cut = 0
    for survive in itertools.count():
        name = f"e{survive}"
        made = await world.make(name, members=3)
        patch = {"metadata": {"finalizers": [FINALIZER]}}
        await kube.patch(ETCD, name, world.namespace, patch)
        mortal = Mortal(kube, world.namespace, iter((survive,)), name)

        if not await mortal.live():
            break
        cut += 1
        await _nothing_started_unrecorded(world, name)
        first_ca = await world.get(kinds.SECRET, f"{name}-ca")
        for _ in range(2):
            await mortal.rest()

        await _complete(world, name, made, first_ca)
        assert await mortal.rest() == [], "a complete cluster is left alone"
    assert cut >= 15


async def _nothing_started_unrecorded(world: World, name: str) -> None:
    """Before any pod can be made, the seed, the CA and all volumes are there."""
    found = EtcdCluster.parse(await world.there(ETCD, name))
    for member in range(3):
        if await world.get(kinds.STATEFULSET, f"{name}-{member}") is None:
            continue
        assert found.status.seed == f"{name}-0,{name}-1,{name}-2"
        assert found.status.ca_fingerprint is not None
        assert await world.get(kinds.PVC, f"{name}-{member}") is not None


async def _complete(world: World, name: str, made: Manifest, first_ca: Manifest | None) -> None:
    found = EtcdCluster.parse(await world.there(ETCD, name))
    ca_secret = await world.there(kinds.SECRET, f"{name}-ca")
    ca = ca_of(ca_secret)
    assert ca is not None
    assert found.status.ca_fingerprint == fingerprint(ca.cert_pem)
    if first_ca is not None:
        assert first_ca["data"] == ca_secret["data"], "a CA is made once"
    for leaf in ("client", "server", "peer"):
        secret = await world.there(kinds.SECRET, f"{name}-{leaf}")
        assert decode(secret, "ca.crt") == ca.cert_pem
    starts = (await world.there(kinds.CONFIGMAP, f"{name}-start"))["data"]
    seeds = {text for key, text in starts.items() if key.endswith("initial-cluster")}
    assert len(seeds) == 1, "all members start with the same list"
    assert {text for key, text in starts.items() if key.endswith("-state")} == {"new"}
    for member in range(3):
        await world.there(kinds.PVC, f"{name}-{member}")
        owner = await world.there(kinds.STATEFULSET, f"{name}-{member}")
        command = owner["spec"]["template"]["spec"]["containers"][0]["command"]
        assert f"--initial-cluster-token={made['metadata']['uid']}" in command
    for service in ("client", "peers"):
        await world.there(kinds.SERVICE, f"{name}-{service}")
    await world.there(kinds.PDB, name)
