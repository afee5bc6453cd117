"""What befalls the services of a host that is a node, how long that lasts, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from e2e.fixtures import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, condition, has
from e2e.polling import eventually
from e2e.stories.shared_hosts import LONG, NAMESPACE, SHOP, WORKERS, root
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds

SERVICES = ("containerd", "kubelet")
BY_UNIT, BY_OPERATOR, HUNG = 5.0, 15.0, 45.0
"""Seconds within which a service works again: the unit itself started it, the operator did, or the
operator found out first that it answers nothing."""
BUSY = 3.0
"""How many times as long it may take on a machine that is busy with the whole lab; what it took is told."""
_WORKS = {
    "containerd": "systemctl is-active -q containerd && timeout 2 ctr --connect-timeout 1s version",
    "kubelet": "systemctl is-active -q kubelet && curl -sSf -m 2 http://127.0.0.1:10248/healthz",
    "docker": "systemctl is-active -q docker && timeout 2 /opt/docker/bin/docker ps -q",
    # To what is not gRPC it answers with an error; one that hangs answers nothing.
    "cri-dockerd": "systemctl is-active -q cri-dockerd && { curl -s -m 2 --http2-prior-knowledge "
    "--unix-socket /run/cri-dockerd.sock http://cri/; case $? in 7 | 28) false ;; esac; }",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that befalls a host."""

    name: str
    service: str
    script: str
    """How it is brought about."""
    within: float
    by: str = "the operator"
    """Who is to bring the service back."""


def faults(services: tuple[str, ...] = SERVICES) -> list[Fault]:
    """All that can be done to a service, by what brings it back."""
    found = [Fault(f"{s} killed", s, _signal(s, "KILL"), BY_UNIT, "its unit") for s in services]
    found += [Fault(f"{s} stopped", s, f"systemctl stop {s}", BY_OPERATOR) for s in services]
    found += [
        Fault(f"{s} off for good", s, f"systemctl disable --now {s}", BY_OPERATOR) for s in services
    ]
    found += [Fault(f"{s} hung", s, _signal(s, "STOP"), HUNG) for s in services]
    if "containerd" in services:
        gone = "rm /run/containerd/containerd.sock"
        found.append(Fault("containerd's socket gone", "containerd", gone, HUNG))
    return found


def _signal(service: str, signal: str) -> str:
    return f"kill -{signal} $(systemctl show -p MainPID --value {service})"


async def measured(w: Environment, host: str, fault: Fault) -> float:
    """Seconds from a fault until the service works again; raises if it takes longer than it may."""
    took = await timed(w, host, fault)
    if took > (most := fault.within * BUSY):
        raise AssertionError(f"{fault.name}: {took:.1f} s, and {most:.0f} s are allowed")
    return took


async def timed(
    w: Environment, host: str, fault: Fault, *, namespace: str = NAMESPACE, workers: str = WORKERS
) -> float:
    """The same for a host of any KubeNode, however long it takes; nothing of it fails any more."""
    await works(w, host, fault.service, LONG)
    await root(w, host, fault.script)
    begun = time.monotonic()
    await works(w, host, fault.service, LONG)
    took = time.monotonic() - begun
    await w.until(host_pool.MACHINE, namespace, machine(workers, host), well, LONG)
    return took


async def works(w: Environment, host: str, service: str, within: float) -> None:
    """Waits until a service of a host answers."""

    async def answers() -> bool:
        script = f"if {{ {_WORKS[service]}; }} >/dev/null 2>&1; then echo yes; fi"
        return bool((await root(w, host, script)).strip())

    await eventually(answers, within, every=0.2)


def well(found: Manifest) -> bool:
    """Whether a Machine serves, and nothing of it fails."""
    fails = condition(found, "Healthy").get("status") == "False"
    return has("Ready")(found) and has("UpToDate")(found) and not fails


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
