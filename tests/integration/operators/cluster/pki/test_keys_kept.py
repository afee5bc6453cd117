"""A key is stored, then recorded, then used, whatever a pass ends by."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import (
    CLUSTER,
    MortalClusters,
    Workspace,
    condition,
    running,
)
from tests.integration.operators.cluster.standin import StandIn

from kok import pki
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.pki.keys import (
    encryption_fingerprint,
    service_account_fingerprint,
)
from kok.runtime.clock import SystemClock
from kok.runtime.process.main import Process

QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
KEYS = naming.key_secrets("shop")
POINTS = 90
"""Lives in which a Cluster is made, with some to spare."""


async def stored(workspace: Workspace) -> dict[str, str]:
    """Fingerprints of the keys that lie in their Secrets."""
    return {
        name: _fingerprint(name, live)
        for name in KEYS
        if (live := await workspace.get(kinds.SECRET, name)) is not None
    }


def _fingerprint(name: str, live: Manifest) -> str:
    value = pki.decode(live, naming.key_entries(name)[0]) or b""
    if name.endswith("-ca"):
        return pki.fingerprint(value)
    if name.endswith("-sa"):
        return service_account_fingerprint(value)
    return encryption_fingerprint(value)


async def recorded(workspace: Workspace) -> dict[str, str]:
    """What the Cluster's status says of them."""
    status = (await workspace.there(CLUSTER, "shop")).get("status") or {}
    return dict(status.get("caFingerprints") or {})


async def users(workspace: Workspace) -> list[str]:
    """What was made of keys: certificates, copies, and the API server that reads them."""
    wanted = [(kinds.SECRET, name) for name in sorted(naming.secrets("shop") - set(KEYS))]
    wanted.append((kinds.DEPLOYMENT, naming.deployment("shop", naming.API_SERVER)))
    return [name for kind, name in wanted if await workspace.get(kind, name) is not None]


async def test_killed_at_every_point_it_leaves_no_key_that_nobody_has(
    workspace: Workspace, kube: Kube, standin: StandIn
) -> None:
    """Nor is anything made of a key that the next one replaces."""
    standin.serve = False
    await workspace.make()
    mortal = MortalClusters(kube, workspace.namespace)
    mortal.lives = itertools.repeat(1)
    await workspace.patch({"metadata": {"finalizers": [mortal.finalizer]}})
    first: dict[str, str] = {}
    lives, died = 0, True
    while died and lives < POINTS:
        lives += 1
        died = await mortal.live()
        there, known = await stored(workspace), await recorded(workspace)
        assert known.items() <= there.items()
        if made := await users(workspace):
            assert known.keys() == set(KEYS), f"{made} are there before all keys are recorded"
        first = first or known
        assert known == first
    assert lives > len(naming.secrets("shop"))
    assert await users(workspace)


async def _quota(workspace: Workspace, secrets: int) -> None:
    """Allows as many Secrets; no controller counts here, so that what is used is told as well."""
    hard = {"secrets": str(secrets)}
    live = await workspace.get(QUOTA, "small")
    used = live["status"]["used"] if live else {"secrets": "0"}
    if live is None:
        await workspace.kube.create(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "small", "namespace": workspace.namespace},
                "spec": {"hard": hard},
            }
        )
    else:
        await workspace.patch({"spec": {"hard": hard}}, "small", QUOTA)
    status = {"status": {"hard": hard, "used": used}}
    await workspace.kube.patch(QUOTA, "small", workspace.namespace, status, subresource="status")


def _over_quota(cluster: Manifest | None) -> bool:
    return "exceeded quota: small" in condition(cluster).get("message", "")


async def test_a_quota_that_is_raised_later_ends_no_cluster(
    workspace: Workspace, api_server: ApiServer, standin: StandIn
) -> None:
    """First there is no room for all keys, then none for all that is made of them."""
    await _quota(workspace, len(KEYS) - 1)
    async with running(api_server, workspace.namespace, backoff_max=1.0):
        await workspace.make()
        await workspace.until(_over_quota)
        assert await recorded(workspace) == {}
        assert await users(workspace) == []
        await _quota(workspace, len(KEYS) + 3)
        await workspace.until(lambda m: _over_quota(m) and _keys_of(m))
        known = await recorded(workspace)
        assert known == await stored(workspace)
        await _quota(workspace, 50)
        await workspace.until_ready()
        assert await recorded(workspace) == await stored(workspace) == known


def _keys_of(cluster: Manifest | None) -> Any:
    return ((cluster or {}).get("status") or {}).get("caFingerprints")


@pytest.mark.parametrize("name", ["shop-encryption", "shop-ca"])
async def test_a_key_that_is_on_its_way_out_is_not_recorded(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, name: str
) -> None:
    """It would be missing for ever as soon as it is gone."""
    standin.serve = False
    ca = pki.new_ca("earlier", SystemClock().now())
    data = {
        "shop-ca": {"tls.crt": ca.cert_pem, "tls.key": ca.key_pem},
        "shop-encryption": {"key1": b"k" * 32},
    }
    earlier = await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": workspace.namespace,
                "finalizers": ["example.com/slow"],
            },
            "data": pki.encode(data[name]),
        }
    )
    await workspace.delete(kinds.SECRET, name)
    await workspace.make()
    waiting = await workspace.until_reason("StaleChild")
    said = condition(waiting)["message"]
    assert said == f"Secret {workspace.namespace}/{name} is still being removed"
    assert await recorded(workspace) == {}
    assert await users(workspace) == []
    await workspace.patch({"metadata": {"finalizers": None}}, name, kinds.SECRET)
    await workspace.until(_keys_of)
    there = await stored(workspace)
    assert await recorded(workspace) == there
    assert there[name] != _fingerprint(name, earlier)


async def test_a_name_that_is_taken_leaves_no_key_that_nobody_has(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.serve = False
    owner = {"apiVersion": "example.com/v1", "kind": "Vault", "name": "v", "uid": "1"}
    theirs = await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "shop-encryption",
                "namespace": workspace.namespace,
                "ownerReferences": [{**owner, "controller": True}],
            },
        }
    )
    await workspace.make()
    await workspace.until_reason("NameTaken")
    assert await recorded(workspace) == {}
    assert await users(workspace) == []
    assert await workspace.there(kinds.SECRET, "shop-encryption") == theirs
    await workspace.delete(kinds.SECRET, "shop-encryption")
    await workspace.patch({"metadata": {"annotations": {"example.com/again": "1"}}})
    await workspace.until(_keys_of)
    assert await recorded(workspace) == await stored(workspace)
