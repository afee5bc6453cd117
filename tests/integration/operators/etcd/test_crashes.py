"""The operator ends between any two writes: what it finds afterwards is enough to go on."""

from __future__ import annotations

import asyncio
import itertools

from tests.integration.operators.etcd.conftest import ETCD, World

from kok.api.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.etcd.handlers import EtcdClusters
from kok.pki import ca_of, decode, fingerprint
from kok.runtime.clock import SystemClock
from kok.runtime.passes import Passes, Tools
from kok.runtime.settings import Settings

FINALIZER = "kok.dev/etcd-operator"


class Killed(BaseException):
    """Nothing of the operator may run after this, as after `kill -9`."""


def passes(kube: Kube, survive: int | None = None) -> tuple[Passes, list[str]]:
    """Passes that end at the write after so many; and the writes that were sent."""
    sent: list[str] = []

    def count(method: str, path: str) -> None:
        if survive is not None and len(sent) >= survive:
            raise Killed
        sent.append(f"{method} {path}")

    guarded = kube.guarded(count)
    clock = SystemClock()
    tools = Tools(
        "etcd", FINALIZER, guarded, Recorder(guarded, "test", clock.now), clock, Settings()
    )
    return Passes(EtcdClusters(), tools), sent


async def crash(kube: Kube, key: tuple[str, str], survive: int) -> bool:
    """One pass that is cut off after so many writes; whether it was."""
    work, _ = passes(kube, survive)
    try:
        await work.reconcile(key, 0)
    except Killed:
        # Requests that were under way side by side may still arrive.
        await asyncio.sleep(0)
        return True
    return False


async def test_a_creation_cut_off_after_any_write_converges_to_the_same(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    cut = 0
    for survive in itertools.count():
        name = f"e{survive}"
        made = await world.make(name, members=3)
        patch = {"metadata": {"finalizers": [FINALIZER]}}
        await kube.patch(ETCD, name, world.namespace, patch)
        key = (world.namespace, name)

        if not await crash(kube, key, survive):
            break
        cut += 1
        await _nothing_started_unrecorded(world, name)
        first_ca = await world.get(kinds.SECRET, f"{name}-ca")
        for _ in range(2):
            work, _ = passes(kube)
            await work.reconcile(key, 0)

        await _complete(world, name, made, first_ca)
        work, sent = passes(kube)
        await work.reconcile(key, 0)
        assert sent == [], "a complete cluster is left alone"
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
