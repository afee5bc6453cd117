"""A lab at a glance."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from e2e.lab.cluster import state
from e2e.lab.cluster.hosts import ROLE_LABEL
from e2e.lab.cluster.state import Store
from e2e.lab.errors import CommandError, LabError
from e2e.lab.lab import Lab
from e2e.lab.machine import podman
from e2e.lab.machine.podman import Container
from e2e.lab.services import s3


async def show(console: Console) -> None:
    """Print tables of the lab's containers and of the meta cluster's nodes."""
    if Store(state.lab_name()).read() is None:
        console.print(f"The lab {state.lab_name()} is not up.")
        return
    lab = await Lab.open()
    nodes, problem = await _nodes(lab)
    table = Table("name", "role", "address", "state", "node", title=f"lab {lab.name}")
    for container in await podman.of_lab(lab.name):
        name = container.name.removeprefix(f"{lab.name}-")
        role = container.labels.get(ROLE_LABEL, "service")
        table.add_row(name, role, _address(lab, name, role), _state(container), nodes.get(name, ""))
    console.print(table)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("kubeconfig", str(lab.kubeconfig))
    facts.add_row("registry", lab.mirror)
    facts.add_row("artifacts", f"{lab.artifacts_url}/artifacts.json")
    if lab.store.s3.exists():
        facts.add_row("s3", f"{s3.endpoint(lab.state)}, CA and keys below {lab.store.s3}")
    facts.add_row("meta cluster", problem or f"answers, {len(nodes)} nodes")
    slowest = sorted(lab.state.timings.items(), key=lambda item: -item[1])[:5]
    times = ", ".join(f"{name} {took:.1f} s" for name, took in slowest)
    facts.add_row("last up, slowest", times)
    console.print(facts, soft_wrap=True)


async def _nodes(lab: Lab) -> tuple[dict[str, str], str]:
    """Each node's state by name, and what keeps the meta cluster from telling."""
    try:
        raw = await lab.kubectl("get", "nodes", "-o", "json", timeout=10)
    except (CommandError, TimeoutError, LabError, OSError) as error:
        return {}, f"does not answer: {str(error).splitlines()[-1] if str(error) else 'timed out'}"
    found = {}
    for node in json.loads(raw)["items"]:
        ready = any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in node["status"]["conditions"]
        )
        version = node["status"]["nodeInfo"]["kubeletVersion"]
        found[node["metadata"]["name"]] = f"{'Ready' if ready else 'NotReady'} {version}"
    return found, ""


def _address(lab: Lab, name: str, role: str) -> str:
    if role == "service":
        services = {
            "registry": lab.state.registry,
            "artifacts": lab.state.artifacts,
            s3.NAME: lab.state.s3,
        }
        return str(services.get(name, ""))
    return str(lab.inventory.host(name).address)


def _state(container: Container) -> str:
    if not container.alive:
        return "dead" if container.status in {"running", "stopping"} else container.status
    return container.status
