"""Bringing a lab up: one graph of steps, from nothing to a meta cluster with bare hosts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from e2e.lab import catalog, operator_image, preflight, rootfs
from e2e.lab.cache import Cache
from e2e.lab.meta import FIRST, PRELOADED
from e2e.lab.podman import LABEL
from e2e.lab.sources import ETCD, KUBERNETES
from e2e.lab.steps import Graph, Step
from e2e.lab.world import Plan

if TYPE_CHECKING:
    from e2e.lab.lab import Lab


def machine(cache: Cache, packages: tuple[str, ...]) -> Graph:
    """The steps that come before all others: what the machine itself lacks."""
    steps = Graph()
    packages_log = f"log: {cache.logs}/packages.log"
    prepare = partial(preflight.prepare, cache, packages)
    ready = steps.add(Step("Debian packages", prepare, limit=1800, hint=packages_log))
    go_log = f"log: {cache.logs}/go.log"
    steps.add(Step("Go", partial(preflight.go, cache), (ready,), limit=1200, hint=go_log))
    return steps


def graph(lab: Lab, meta: int, workers: int, *, operators: bool = False) -> Graph:
    """All steps of a lab with that many hosts of each kind; with KOK's image if it is wanted."""
    steps = Graph()
    works = lab.works
    make_network = partial(works.services.ensure_network, lab.inventory.network)
    another = (
        "if its subnet was taken meanwhile: `down` forgets it, and the next `up` finds another"
    )
    network = steps.add(Step("network", make_network, hint=another))
    plan = Plan(works, steps)
    # One after another: each of them keeps a core busy, and the first ones are waited for.
    base = plan.rootfs(rootfs.SERVICES)
    host = plan.rootfs(rootfs.HOST, base)
    toolbox = plan.rootfs(rootfs.TOOLBOX, host)
    python = plan.rootfs(rootfs.PYTHON, toolbox)
    services = steps.add(
        Step(
            "registry and artifact server",
            partial(works.services.ensure, lab.inventory.network, rootfs.SERVICES.image),
            (network, base),
            limit=120,
        )
    )
    plan.served = (services,)
    images, artifacts = plan.everything(toolbox, base)
    for index in range(1, workers + 1):
        _host(lab, steps, f"worker-{index}", network, host)
    loaded = _meta(lab, steps, meta, needs=(network, host), images=images, artifacts=artifacts)
    if operators:
        _operator_image(lab, steps, (services, python), loaded)
    plan.forget_sources()
    return steps


def _operator_image(
    lab: Lab, steps: Graph, needs: tuple[str, ...], loaded: tuple[str, ...]
) -> None:
    """Built beside everything else, so that nobody waits for it once the meta cluster is up."""
    build = partial(operator_image.ensure, lab.works.cache, lab.works.images)
    hint = f"log: {lab.works.cache.logs}/operator-image.log"
    built = steps.add(Step("build KOK's image", build, needs, hint=hint, limit=1800))
    steps.add(Step("KOK's image on the meta hosts", lab.operator_image, (built, *loaded)))


def _host(lab: Lab, steps: Graph, name: str, *needs: str) -> str:
    run = partial(lab.inventory.ensure, name, rootfs.HOST.image)
    container = lab.inventory.host(name).container
    hint = f"look at `podman logs {container}`; filter all of the lab by label {LABEL}={lab.name}"
    return steps.add(Step(f"host {name}", run, needs, limit=120, hint=hint))


def _meta(
    lab: Lab,
    steps: Graph,
    count: int,
    *,
    needs: tuple[str, ...],
    images: list[str],
    artifacts: list[str],
) -> tuple[str, ...]:
    """The steps of a meta cluster of ``count`` hosts; those after which these have images."""
    preloaded = (
        *PRELOADED,
        *(image.reference for image in catalog.kubernetes(KUBERNETES)),
        catalog.etcd(ETCD).reference,
    )
    loaded = []
    for index in range(1, count + 1):
        host = lab.inventory.host(f"meta-{index}")
        made = _host(lab, steps, host.name, *needs)
        installed = steps.add(
            Step(f"install {host.name}", partial(lab.meta.install, host), (made, *artifacts))
        )
        pull = partial(lab.meta.prepull, host, preloaded)
        loaded.append(steps.add(Step(f"images on {host.name}", pull, (installed, *images))))
    log = f"`podman exec {lab.inventory.host(FIRST).container} journalctl -u kubelet`"
    cluster = steps.add(
        Step("kubeadm init", lab.meta.init, (loaded[0],), limit=480, hint=f"look at {log}")
    )
    addons = steps.add(Step("pod network and volumes", lab.meta.addons, (cluster,)))
    joined = [
        steps.add(
            Step(
                f"join meta-{index}",
                partial(lab.meta.join, lab.inventory.host(f"meta-{index}")),
                (cluster, loaded[index - 1]),
            )
        )
        for index in range(2, count + 1)
    ]
    steps.add(Step("meta cluster ready", lab.meta.ready, (addons, *joined), limit=300))
    return tuple(loaded)
