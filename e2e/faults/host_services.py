"""What befalls the services of a host that is a node, and how long it takes until they work again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has
from e2e.polling import eventually
from kok.api.meta import Manifest
from kok.api.names import machine

LONG = 900.0
SERVICES = ("containerd", "kubelet")
BY_UNIT, BY_OPERATOR, HUNG = 5.0, 15.0, 45.0
"""Seconds within which a service works again: the unit itself started it, the operator did, or the
operator found out first that it answers nothing."""
_WORKS = {
    "containerd": "systemctl is-active -q containerd && timeout 2 ctr --connect-timeout 1s version",
    "kubelet": "systemctl is-active -q kubelet && curl -sSf -m 2 http://127.0.0.1:10248/healthz",
    "docker": "systemctl is-active -q docker && timeout 2 /opt/docker/bin/docker version",
    "cri-dockerd": (
        "systemctl is-active -q cri-dockerd && printf '\\0\\0\\0\\0\\0' | curl -sSf -m 2 -o /dev/null "
        "--http2-prior-knowledge --unix-socket /run/cri-dockerd.sock --data-binary @- "
        "-H 'content-type: application/grpc' -H 'te: trailers' "
        "http://localhost/runtime.v1.RuntimeService/Version"
    ),
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


async def timed(w: Environment, host: str, fault: Fault, *, namespace: str, workers: str) -> float:
    """Seconds from a fault until the service works again, of a host of this KubeNode; then nothing of it
    fails any more."""
    await works(w, host, fault.service, LONG)
    await w.lab.exec(host, "sh", "-euc", fault.script)
    begun = time.monotonic()
    await works(w, host, fault.service, LONG)
    took = time.monotonic() - begun
    await w.until(host_pool.MACHINE, namespace, machine(workers, host), well, LONG)
    return took


async def works(w: Environment, host: str, service: str, within: float) -> None:
    """Waits until a service of a host answers."""

    async def answers() -> bool:
        script = f"if {{ {_WORKS[service]}; }} >/dev/null 2>&1; then echo yes; fi"
        return bool((await w.lab.exec(host, "sh", "-euc", script)).strip())

    await eventually(answers, within, every=0.2)


def well(found: Manifest) -> bool:
    """Whether a Machine serves, and nothing of it fails."""
    fails = condition(found, "Healthy").get("status") == "False"
    return has("Ready")(found) and has("UpToDate")(found) and not fails
