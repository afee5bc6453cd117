"""Bad input and bad luck: names that are taken, missing Secrets, dead tenants, sudden ends."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import (
    ADDON,
    CLUSTER,
    Workspace,
    condition,
    running,
    soon,
)
from tests.integration.operators.cluster.standin import ETCD, StandIn

from kok import pki
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.api.names import LABEL_OWNER_NAME, LABEL_OWNER_UID
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import InvalidObject
from kok.kube.objects.ownership import owner_reference
from kok.operators.cluster.cluster.observe import CHILDREN
from kok.operators.cluster.naming import key_secrets
from kok.runtime.process.main import Process


def has_keys(cluster: Manifest | None) -> bool:
    """Whether the keys are made and recorded."""
    return bool(((cluster or {}).get("status") or {}).get("caFingerprints"))


async def everything(kube: Kube, namespace: str) -> set[str]:
    """What is in a namespace, but for what belongs to the test's surroundings."""
    found = set()
    for kind in (*CHILDREN, CLUSTER):
        for live in await kube.list(kind, namespace):
            found.add(f"{kind.kind} {live['metadata']['name']}")
    return found - {"Secret shop-etcd-client"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"apiServer": {"extraArgs": [{"name": "etcd-servers", "value": "x"}]}},
            "etcd-servers is set by the operator and cannot be changed; leave it out",
        ),
        (
            {"scheduler": {"extraArgs": [{"name": "leader-elect", "value": "false"}]}},
            "leader-elect is set by the operator and cannot be changed; leave it out",
        ),
        ({"version": "1.39.0"}, "1.39.0 is not supported; this release knows 1.34 to 1.37"),
    ],
)
async def test_bad_input_is_refused_at_apply(
    workspace: Workspace, cluster_crds: None, spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidObject) as caught:
        await workspace.make(**spec)
    assert sentence in str(caught.value)


async def test_what_only_the_operator_can_know_becomes_a_condition(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    gate = {"extraArgs": [{"name": "feature-gates", "value": "AnyVolumeDataSource=true"}]}
    await workspace.make(apiServer=gate)
    refused = await workspace.until_reason("UnknownFlag")
    assert condition(refused)["message"] == (
        "spec.apiServer.extraArgs: feature gate AnyVolumeDataSource was removed in 1.37; "
        "leave it out"
    )
    standin.serve = False
    await workspace.patch({"spec": {"apiServer": {"extraArgs": []}}})
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)


async def test_a_missing_pull_secret_is_named_and_nothing_waits_for_it(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.serve = False
    await workspace.make(images={"pullSecrets": ["mirror-login"]})
    stuck = await workspace.until_reason("SecretMissing")
    assert f"Secret {workspace.namespace}/mirror-login" in condition(stuck)["message"]
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)


async def test_a_port_that_is_taken_is_named(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    taken = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "other", "namespace": workspace.namespace},
        "spec": {"type": "NodePort", "ports": [{"port": 80}]},
    }
    made = await workspace.kube.create(taken)
    port = made["spec"]["ports"][0]["nodePort"]
    await workspace.make(endpoint={"port": port})
    stuck = await workspace.until_reason("PortTaken")
    assert "provided port is already allocated" in condition(stuck)["message"]


async def test_clusters_of_one_name_in_two_namespaces_have_nothing_in_common(
    workspace: Workspace, kube: Kube, api_server: ApiServer, cluster_crds: None
) -> None:
    other = f"{workspace.namespace}-b"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    second = Workspace(kube, other)
    async with (
        StandIn(kube, workspace.namespace, other) as standin,
        running(api_server, workspace.namespace, other),
    ):
        await asyncio.gather(workspace.make(), second.make())
        one, two = await asyncio.gather(workspace.until_ready(), second.until_ready())
        assert one["status"]["endpoint"] != two["status"]["endpoint"]
        assert one["status"]["caFingerprints"].keys() == two["status"]["caFingerprints"].keys()
        for name, value in one["status"]["caFingerprints"].items():
            assert two["status"]["caFingerprints"][name] != value
        # One dead tenant does not slow the other.
        usual = max(
            await asyncio.gather(_without(workspace, "coredns"), _without(second, "coredns"))
        )
        standin.freeze("shop-apiserver")
        dead = await soon(lambda: _unreachable(workspace, second))
        alive = second if dead is workspace else workspace
        assert await _without(alive, "coredns", "flannel") < max(10.0, 3 * usual)
        await _flannel_is_gone(alive)
        # Nor does it keep itself from being deleted.
        await dead.delete(CLUSTER, "shop")
        await dead.until_gone()
        assert await everything(kube, dead.namespace) == set()
        assert condition(await alive.there(CLUSTER, "shop"))["status"] == "True"


async def _without(workspace: Workspace, *addons: str) -> float:
    """Seconds that it takes until the last of the addons is gone, the others being so already."""
    begun = time.monotonic()
    await workspace.patch({"spec": {"addons": [{"name": a, "enabled": False} for a in addons]}})
    await workspace.until_gone(f"shop-{addons[-1]}", ADDON)
    return time.monotonic() - begun


async def _flannel_is_gone(workspace: Workspace) -> None:
    async with workspace.business() as admin:
        assert await admin.get(kinds.DAEMONSET, "kube-flannel-ds", "kube-flannel") is None
        namespace = await admin.get(kinds.NAMESPACE, "kube-flannel")
        assert namespace is None or namespace["metadata"].get("deletionTimestamp")


async def _unreachable(*worlds: Workspace) -> Workspace | None:
    """Asks for passes until one of the Clusters is seen to be dead."""
    for workspace in worlds:
        live = await workspace.there(CLUSTER, "shop")
        if condition(live).get("reason") == "Unreachable":
            return workspace
        stamp = {"metadata": {"annotations": {"kok.dev/poke": live["metadata"]["resourceVersion"]}}}
        await workspace.patch(stamp)
    return None


async def test_derived_names_that_collide_are_refused(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    """The CA of a Cluster `shop-front-proxy` would be the front-proxy CA of `shop`."""
    standin.serve = False
    await workspace.make()
    await workspace.until(has_keys)
    before = await workspace.there(kinds.SECRET, "shop-front-proxy-ca")
    await workspace.make("shop-front-proxy")
    refused = await workspace.until_reason("NameTaken", "shop-front-proxy")
    assert condition(refused)["message"].startswith(
        f"Secret {workspace.namespace}/shop-front-proxy-ca belongs to Cluster shop"
    )
    assert await workspace.there(kinds.SECRET, "shop-front-proxy-ca") == before


async def test_of_two_that_collide_and_come_at_once_one_wins(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.serve = False
    pair = ("shop", "shop-front-proxy")
    await asyncio.gather(*(workspace.make(name) for name in pair))
    await soon(lambda: _one_is_refused(workspace, *pair))

    secret = await workspace.there(kinds.SECRET, "shop-front-proxy-ca")
    owner = secret["metadata"]["labels"][LABEL_OWNER_NAME]
    ca = pki.ca_of(secret)
    assert ca is not None
    # The other one may be refused before the winner has ended its pass.
    winner = await workspace.until(has_keys, owner)
    recorded = winner["status"]["caFingerprints"]["shop-front-proxy-ca"]
    assert recorded == pki.fingerprint(ca.cert_pem)
    # Of the other one nothing is in use, so that none of its keys is for good.
    [loser] = {*pair} - {owner}
    assert not has_keys(await workspace.there(CLUSTER, loser))


async def _one_is_refused(workspace: Workspace, *names: str) -> bool:
    found = [condition(await workspace.there(CLUSTER, name)).get("reason") for name in names]
    return found.count("NameTaken") == 1


async def test_a_secret_of_somebody_elses_is_neither_overwritten_nor_deleted(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    """What is made by hand has no controller, and is somebody's all the same."""
    mine = await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-kubeconfig", "namespace": workspace.namespace},
            "data": pki.encode({"value": b"mine"}),
        }
    )
    await workspace.make()
    refused = await workspace.until_reason("NameTaken")
    assert f"Secret {workspace.namespace}/shop-kubeconfig exists" in condition(refused)["message"]
    await workspace.delete(CLUSTER, "shop")
    await workspace.until_gone()
    assert await workspace.there(kinds.SECRET, "shop-kubeconfig") == mine


async def test_a_ca_that_was_prepared_is_used(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.serve = False
    ca = pki.new_ca("prepared", datetime.now(UTC))
    await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-ca", "namespace": workspace.namespace},
            "type": "kubernetes.io/tls",
            "data": pki.ca_secret_data(ca),
        }
    )
    await workspace.make()
    made = await workspace.until(has_keys)
    assert made["status"]["caFingerprints"]["shop-ca"] == pki.fingerprint(ca.cert_pem)
    kept = pki.ca_of(await workspace.there(kinds.SECRET, "shop-ca"))
    assert kept is not None
    assert (kept.cert_pem, kept.key_pem) == (ca.cert_pem, ca.key_pem)


async def test_a_cluster_can_be_deleted_while_it_is_being_made(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, kube: Kube
) -> None:
    standin.etcd_ready = False
    await workspace.make()
    await workspace.until(lambda m: m, "shop-etcd", ETCD)
    await workspace.delete(CLUSTER, "shop")
    await workspace.until_gone()
    assert await everything(kube, workspace.namespace) == set()


async def test_a_working_cluster_goes_without_a_trace_even_when_etcd_is_gone(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, kube: Kube
) -> None:
    await workspace.make()
    await workspace.until_ready()
    await workspace.delete(CLUSTER, "shop")
    await workspace.delete(ETCD, "shop-etcd")
    await workspace.until_gone()
    assert await everything(kube, workspace.namespace) == set()


async def test_retained_data_keeps_the_keys_to_read_it(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, kube: Kube
) -> None:
    standin.serve = False
    await workspace.make(deletionPolicy="Retain")
    made = await workspace.until(has_keys)
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)
    await workspace.delete(CLUSTER, "shop")
    await workspace.until_gone()
    kept = {
        "Secret shop-ca",
        "Secret shop-encryption",
        "Secret shop-front-proxy-ca",
        "Secret shop-sa",
    }
    assert await everything(kube, workspace.namespace) == kept
    secret = await workspace.there(kinds.SECRET, "shop-encryption")
    assert not secret["metadata"].get("ownerReferences")
    assert LABEL_OWNER_UID not in secret["metadata"]["labels"]
    # A later Cluster of that name takes them up again.
    await workspace.make()
    again = await workspace.until(has_keys)
    assert again["status"]["caFingerprints"] == made["status"]["caFingerprints"]


async def test_keys_of_an_earlier_release_lose_their_owner_though_nothing_else_may_be_done(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    """Kubernetes' garbage collector would delete them as soon as the Cluster is deleted."""
    standin.serve = False
    await workspace.make()
    made = await workspace.until(has_keys)
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)
    for name in key_secrets("shop"):
        assert not (await workspace.there(kinds.SECRET, name))["metadata"].get("ownerReferences")
    gate = {"extraArgs": [{"name": "feature-gates", "value": "AnyVolumeDataSource=true"}]}
    await workspace.patch({"spec": {"apiServer": gate}})
    await workspace.until_reason("UnknownFlag")

    owner = owner_reference(Cluster.parse(made))
    labels = {LABEL_OWNER_UID: None}
    earlier = {"metadata": {"ownerReferences": [owner], "labels": labels}}
    await workspace.patch(earlier, "shop-encryption", kinds.SECRET)

    await workspace.until(_is_free, "shop-encryption", kinds.SECRET)


def _is_free(secret: Manifest | None) -> bool:
    meta = (secret or {"metadata": {}})["metadata"]
    return LABEL_OWNER_UID in meta.get("labels", {}) and not meta.get("ownerReferences")


async def test_keys_at_rest_are_not_written(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    before = [await workspace.there(kinds.SECRET, name) for name in key_secrets("shop")]
    await workspace.patch({"spec": {"addons": [{"name": "coredns", "enabled": False}]}})
    await workspace.until_gone("shop-coredns", ADDON)
    assert [await workspace.there(kinds.SECRET, name) for name in key_secrets("shop")] == before


async def test_an_operator_that_is_stopped_at_any_time_goes_on_where_it_was(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn, kube: Kube
) -> None:
    """Stopped again and again, each time a little later, while a Cluster is made."""
    await workspace.make()
    for seconds in (0.15, 0.3, 0.6, 1.2):
        async with running(api_server, namespace):
            await asyncio.sleep(seconds)
    async with running(api_server, namespace):
        made = await workspace.until_ready()
        async with workspace.business() as admin:
            assert await admin.get(kinds.NAMESPACE, "default")
        latched = made["status"]["caFingerprints"]
        assert len(latched) == 4
        await workspace.delete(CLUSTER, "shop")
        await workspace.until_gone()
    assert await everything(kube, namespace) == set()


async def test_a_paused_cluster_is_watched_and_left_alone(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.serve = False
    await workspace.make(paused=True)
    paused = await workspace.until(lambda m: condition(m, "Paused").get("status") == "True")
    assert condition(paused, "EtcdReady")["status"] == "False"
    assert await workspace.get(ETCD, "shop-etcd") is None
    await workspace.patch({"spec": {"paused": False}})
    await workspace.until(lambda m: m, "shop-etcd", ETCD)
