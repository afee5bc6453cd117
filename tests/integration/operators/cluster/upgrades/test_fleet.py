"""A FleetUpgrade and the Clusters that it raises, all by one operator; control planes are real processes."""

from __future__ import annotations

from tests.integration.operators.cluster.conftest import CLUSTER, Workspace, condition
from tests.integration.operators.cluster.standin import StandIn

from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.kube.client import Kube
from kok.runtime.process.main import Process

FLEET = FleetUpgrade.info.kind
OLD, NEW = "1.37.0", "1.37.1"
NAMES = ("east", "west")


async def test_clusters_are_raised_one_after_the_other_and_git_may_follow(
    workspace: Workspace, kube: Kube, cluster_operator: Process, standin: StandIn
) -> None:
    for name in NAMES:
        await workspace.make(name, version=OLD)
    for name in NAMES:
        await workspace.until_ready(name)
    await kube.create(
        {
            "apiVersion": FLEET.api_version,
            "kind": FLEET.kind,
            "metadata": {"name": "patch", "namespace": workspace.namespace},
            "spec": {"selector": {}, "target": {"latestPatch": True}},
        }
    )

    done = await workspace.until(
        lambda m: (m or {}).get("status", {}).get("phase") == "Completed", "patch", FLEET
    )

    assert done["status"]["summary"] == "2/2"
    assert done["status"]["took"]["count"] == 2
    upgraded = [name for name, version in standin.started if version == NEW]
    assert upgraded == ["east-apiserver", "west-apiserver"], "the canary was through first"
    for name in NAMES:
        live = await workspace.there(CLUSTER, name)
        assert live["spec"]["version"] == OLD
        assert live["status"]["version"] == NEW
        assert f'version: "{NEW}"' in condition(live, "SpecBehind")["message"]
    await workspace.patch({"spec": {"version": NEW}}, "east")
    await workspace.until(lambda m: "raised" not in (m or {}).get("status", {}), "east")
