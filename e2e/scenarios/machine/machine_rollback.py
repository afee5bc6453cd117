"""What fails on the canary goes back and is not tried again; an abort; a budget that blocks for ever.

A kubelet that cannot start is rolled back on the canary while the others are never touched. Then a
disruption budget that never lets go meets each policy: it stops, it is skipped, it is overridden.
"""

from __future__ import annotations

from typing import Any

from e2e.fixtures import rolling, userfiles
from e2e.fixtures.rolling import SOON, with_agent
from e2e.framework import processes
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, until
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE = "e2e-machine-rollback"
HOSTS = rolling.hosts(3)
POLICY = {"canary": 1, "maxUnavailable": 1, "onFailure": "Rollback", "deadline": "5m"}
BROKEN = {**userfiles.LAB_KUBELET, "evictionHard": {"memory.available": "much"}}
"""A kubelet reads that, and ends."""


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, workers=len(HOSTS)) as w, enough_rights(w):
        spec: dict[str, Any] = {"rollout": POLICY, "components": with_agent("1.0")}
        async with rolling.serving(w, NAMESPACE, HOSTS, **spec) as inside:
            await a_broken_kubelet(w)
            await not_tried_again(w)
            await aborted(w, inside)
            await blocked(w, inside)


async def a_broken_kubelet(w: Environment) -> None:
    """The canary is changed, fails, and goes back; nobody looks at the others."""
    before = await rolling.generations(w, NAMESPACE)
    with w.report.step("a kubelet that cannot start is rolled back", "rollback_s"):
        await rolling.change(w, NAMESPACE, kubelet=BROKEN)
        found = await rolling.told(w, NAMESPACE, rolling.rolled_out("False", "RolledBack"))
    after = await rolling.generations(w, NAMESPACE)
    touched = sorted(name for name in before if after[name] != before[name])
    if len(touched) != 1:
        raise AssertionError(f"the canary alone should have been touched, not {touched}")
    said = condition(found, "RolledOut")["message"]
    if touched[0] not in said or "ServiceFailing" not in said:
        raise AssertionError(f"the condition should say which node and why: {said}")
    await _all_serve(w)


async def not_tried_again(w: Environment) -> None:
    """Neither after a restart of the operator nor with another label; another spec ends it."""
    before = await rolling.generations(w, NAMESPACE)
    with w.report.step("the same is not tried again"):
        (operator,) = [name for name in await processes.deployments(w) if "machine" in name]
        of = ("-n", OPERATORS, "deployment", operator)
        await w.lab.kubectl("rollout", "restart", *of)
        await w.lab.kubectl("rollout", "status", *of, timeout=rolling.LONG)
        await rolling.change(w, NAMESPACE, labels={"e2e.kok.dev/tried": "once"})
        await rolling.told(w, NAMESPACE, _seen_by_all)
    await rolling.told(w, NAMESPACE, rolling.rolled_out("False", "RolledBack"))
    after = await rolling.generations(w, NAMESPACE)
    if {after[name] - before[name] for name in before} != {1}:
        raise AssertionError(f"each should have got its label and nothing else: {before}, {after}")
    with w.report.step("the spec goes back"):
        await rolling.change(w, NAMESPACE, kubelet=dict(userfiles.LAB_KUBELET))
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))


def _seen_by_all(found: Manifest) -> bool:
    status = found.get("status") or {}
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(seen and status.get("ready") == len(HOSTS))


async def aborted(w: Environment, inside: Kube) -> None:
    """A node that is being drained gets its pods again, and keeps what it had."""
    for manifest in rolling.stubborn(HOSTS[0]):
        await inside.apply(manifest)
    await until(inside, kinds.POD, "stubborn", "default", _runs, within=SOON)
    with w.report.step("a rollout is aborted", "aborted_s"):
        await rolling.change(w, NAMESPACE, components=with_agent("1.1"))
        # Nodes with pods come last, so that the others are through by then.
        await _says_blocked(w, "Draining")
        await rolling.kok(w, "rollout", "abort", rolling.WORKERS, "-n", NAMESPACE)
        await rolling.told(w, NAMESPACE, _over, rolling.LONG)
    if rolling.reason(await _kubenode(w)) != "RolloutAborted":
        raise AssertionError("the condition should say that it was aborted")
    await _open(inside)
    await _all_serve(w)
    await _versions(w)


def _over(found: Manifest) -> bool:
    rollout = (found.get("status") or {}).get("rollout") or {}
    return bool(rolling.reason(found) == "RolloutAborted" and rollout.get("endedAt"))


async def blocked(w: Environment, inside: Kube) -> None:
    """A disruption budget that never lets go, under each policy."""
    policy = {**POLICY, "abort": "", "drainTimeout": "10s", "canary": 0}
    with w.report.step("Stop: it waits and says for what", "stop_s"):
        await rolling.change(
            w, NAMESPACE, rollout={**policy, "onDrainTimeout": "Stop", "retry": "stop"}
        )
        await _says_blocked(w)
    with w.report.step("Skip: the others are changed", "skip_s"):
        await rolling.change(
            w, NAMESPACE, rollout={**policy, "onDrainTimeout": "Skip", "retry": "skip"}
        )
        await rolling.told(w, NAMESPACE, rolling.rolled_out("False", "NodesSkipped"))
    await _versions(w)
    await _open(inside)
    with w.report.step("Force: it goes on in spite of the budget", "force_s"):
        await rolling.change(
            w, NAMESPACE, rollout={**policy, "onDrainTimeout": "Force", "retry": "force"}
        )
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
    if (there := (await rolling.installed(w, HOSTS[0]))[0]) != "1.1":
        raise AssertionError(f"{HOSTS[0]} should have 1.1 by now, not {there}")
    if await inside.get(kinds.POD, "stubborn", "default") is not None:
        raise AssertionError("the pod should have been deleted")


async def _versions(w: Environment) -> None:
    """All but the node with the pod that is never let go were changed."""
    versions = [(await rolling.installed(w, host))[0] for host in HOSTS]
    if versions != ["1.0", "1.1", "1.1"]:
        raise AssertionError(f"all but {HOSTS[0]} should have been changed: {versions}")


async def _says_blocked(w: Environment, reason: str = "DrainBlocked") -> None:
    machine = names.machine(rolling.WORKERS, HOSTS[0])

    def check(found: Manifest) -> bool:
        said = condition(found, "UpToDate")
        return said.get("reason") == reason and "default/stubborn" in said["message"]

    await w.until(rolling.MACHINE, NAMESPACE, machine, check, rolling.LONG)


async def _kubenode(w: Environment) -> Manifest:
    found = await w.kube.get(rolling.KUBENODE, rolling.WORKERS, NAMESPACE)
    if found is None:
        raise AssertionError("the KubeNode is gone")
    return found


async def _open(inside: Kube) -> None:
    """All nodes take pods, also one that was skipped, for which nobody waits."""
    for host in HOSTS:
        await until(inside, kinds.NODE, host, "", _takes_pods, within=SOON)


def _takes_pods(node: Manifest) -> bool:
    return not node["spec"].get("unschedulable")


async def _all_serve(w: Environment) -> None:
    await rolling.told(w, NAMESPACE, _seen_by_all, rolling.LONG)


def _runs(found: Manifest) -> bool:
    return (found.get("status") or {}).get("phase") == "Running"
