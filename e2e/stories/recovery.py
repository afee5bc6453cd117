"""Hosts that are nodes, whose services fail and recover, and what is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from e2e.faults.host_services import Fault, timed
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, condition, has
from e2e.stories.shared_hosts import LONG, NAMESPACE, SHOP, WORKERS, root
from kok.api.meta import Manifest
from kok.kube import kinds

BUSY = 3.0
"""How many times as long it may take on a machine that is busy with the whole lab; what it took is told."""


async def measured(w: Environment, host: str, fault: Fault) -> float:
    """Seconds from a fault until the service works again; raises if it takes longer than it may."""
    took = await timed(w, host, fault, namespace=NAMESPACE, workers=WORKERS)
    if took > (most := fault.within * BUSY):
        raise AssertionError(f"{fault.name}: {took:.1f} s, and {most:.0f} s are allowed")
    return took


def fails(reason: str, *words: str) -> Predicate:
    """Whether a Machine says that it is not well, for this reason and in these words."""

    def check(found: Manifest) -> bool:
        said = condition(found, "Healthy").get("message", "")
        return has("Healthy", "False", reason)(found) and all(word in said for word in words)

    return check


async def remediation(w: Environment, **policy: object) -> None:
    """Changes the policy of the KubeNode, and waits until its Machines have it."""
    patch = {"spec": {"remediation": policy}}
    await w.kube.patch(host_pool.KUBENODE, WORKERS, NAMESPACE, patch)
    for found in await w.kube.list(host_pool.MACHINE, NAMESPACE):
        await w.until(
            host_pool.MACHINE,
            NAMESPACE,
            found["metadata"]["name"],
            lambda m: policy.items() <= m["spec"].get("remediation", {}).items(),
            LONG,
        )


async def counts_starts(w: Environment, host: str, service: str) -> Callable[[], Awaitable[int]]:
    """How often a service was started from now on; the host counts itself."""
    counter = f"/root/starts-{service}"
    await root(
        w,
        host,
        f"mkdir -p /etc/systemd/system/{service}.service.d; : >{counter}\n"
        f"printf '[Service]\\nExecStartPre=/bin/sh -c \"echo x >>{counter}\"\\n' "
        f">/etc/systemd/system/{service}.service.d/99-count.conf; systemctl daemon-reload",
    )

    async def count() -> int:
        return int((await root(w, host, f"grep -c . {counter} || true")).strip() or 0)

    return count


async def containers(w: Environment, host: str) -> dict[str, str]:
    """The containers of all pods on a node, each with when it was started."""
    async with await w.business(NAMESPACE, SHOP) as inside:
        pods = await inside.list(kinds.POD, fields={"spec.nodeName": host})
    return {
        status["containerID"]: status["state"]["running"]["startedAt"]
        for pod in pods
        for status in pod["status"].get("containerStatuses") or ()
        if "running" in status["state"]
    }
