"""Bringing a lab up: one graph of steps, from nothing to a meta cluster with bare hosts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from e2e.lab.cluster.meta import FIRST, Meta
from e2e.lab.images import catalog, operator_image, rootfs
from e2e.lab.machine import preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.podman import LABEL
from e2e.lab.plan import BuildPlan, Served, Supplies
from e2e.lab.programs.sources import ETCD, KUBERNETES
from e2e.lab.steps.graph import Graph, Step

FIRST_IMAGES = (
    catalog.PAUSE,
    *(image.reference for image in catalog.kubernetes(KUBERNETES)),
    catalog.etcd(ETCD).reference,
)
"""What a meta cluster starts with, and what the business clusters' control planes are made of."""
FURTHER_IMAGES = (
    catalog.COREDNS,
    catalog.FLANNEL,
    catalog.FLANNEL_CNI,
    catalog.LOCAL_PATH,
    catalog.BUSYBOX,
)
"""What a meta host needs once there is a cluster."""


def machine(cache: Cache, packages: tuple[str, ...]) -> Graph:
    """The steps that come before all others: what the machine itself lacks."""
    steps = Graph()
    packages_log = f"log: {cache.logs}/packages.log"
    prepare = partial(preflight.prepare, cache, packages)
    steps.add(Step("Debian packages", prepare, limit=1800, hint=packages_log))
    go_log = f"log: {cache.logs}/go.log"
    steps.add(Step("Go", partial(preflight.go, cache), limit=1200, hint=go_log))
    return steps


def graph(
    supplies: Supplies, cluster: Meta, meta: int, workers: int, *, operators: bool = False
) -> Graph:
    """All steps of a lab with that many hosts of each kind; with KOK's image if it is wanted."""
    steps = Graph()
    make_network = partial(supplies.services.ensure_network, cluster.hosts.network)
    another = (
        "if its subnet was taken meanwhile: `down` forgets it, and the next `up` finds another"
    )
    network = steps.add(Step("network", make_network, hint=another))
    plan = BuildPlan(supplies, steps)
    # Two at once at most: each of them keeps a core busy. Where programs are downloaded, KOK's image
    # is what takes longest, so that its base does not wait for the others.
    base = plan.rootfs(rootfs.SERVICES)
    host = plan.rootfs(rootfs.HOST, base)
    toolbox = plan.rootfs(rootfs.TOOLBOX, host)
    python = plan.rootfs(rootfs.PYTHON, base)
    services = steps.add(
        Step(
            "registry and artifact server",
            partial(supplies.services.ensure, cluster.hosts.network, rootfs.SERVICES.image),
            (network, base),
            limit=120,
        )
    )
    plan.served = (services,)
    served = plan.everything(toolbox, base)
    for index in range(1, workers + 1):
        _host(cluster, steps, f"worker-{index}", network, host)
    installed = _meta(cluster, steps, meta, (network, host), served)
    if operators:
        needs = (services, python, served.helm)
        _operator_image(supplies, cluster, steps, needs, installed)
    plan.forget_sources()
    return steps


async def place_operator_image(
    supplies: Supplies, cluster: Meta, tree: Path = operator_image.CHECKOUT
) -> str:
    """KOK's image of a tree, built if it changed: served, and on the meta hosts."""
    reference = await operator_image.ensure(supplies.cache, supplies.images, tree)
    await cluster.renew(operator_image.REFERENCE, reference)
    return reference


def _operator_image(
    supplies: Supplies,
    cluster: Meta,
    steps: Graph,
    needs: tuple[str, ...],
    installed: tuple[str, ...],
) -> None:
    """Built beside everything else, so that nobody waits for it once the meta cluster is up."""
    build = partial(operator_image.ensure, supplies.cache, supplies.images)
    hint = f"log: {supplies.cache.logs}/operator-image.log"
    expected = sum(each.seconds for each in operator_image.pending(supplies.cache))
    step = Step("build KOK's image", build, needs, hint=hint, limit=1800, expected=expected)
    built = steps.add(step)
    place = partial(place_operator_image, supplies, cluster)
    steps.add(Step("KOK's image on the meta hosts", place, (built, *installed)))


def _host(cluster: Meta, steps: Graph, name: str, *needs: str) -> str:
    run = partial(cluster.hosts.ensure, name, rootfs.HOST.image)
    container = cluster.hosts.host(name).container
    label = f"{LABEL}={cluster.state.name}"
    hint = f"look at `podman logs {container}`; filter all of the lab by label {label}"
    return steps.add(Step(f"host {name}", run, needs, limit=120, hint=hint))


def _meta(
    cluster: Meta, steps: Graph, count: int, needs: tuple[str, ...], served: Served
) -> tuple[str, ...]:
    """The steps of a meta cluster of ``count`` hosts; those after which these can pull images.

    It starts with the images that it starts from, while those that it needs next are still built.
    """
    installed, loaded, further = [], [], []
    for index in range(1, count + 1):
        host = cluster.hosts.host(f"meta-{index}")
        made = _host(cluster, steps, host.name, *needs)
        install = partial(cluster.install, host)
        name = f"install {host.name}"
        installed.append(steps.add(Step(name, install, (made, *served.artifacts))))
        pull = partial(cluster.prepull, host, FIRST_IMAGES)
        name = f"images on {host.name}"
        loaded.append(steps.add(Step(name, pull, (installed[-1], *served.first))))
        pull = partial(cluster.prepull, host, FURTHER_IMAGES)
        name = f"further images on {host.name}"
        further.append(steps.add(Step(name, pull, (installed[-1], *served.further))))
    log = f"`podman exec {cluster.hosts.host(FIRST).container} journalctl -u kubelet`"
    started = steps.add(
        Step("kubeadm init", cluster.init, (loaded[0],), limit=480, hint=f"look at {log}")
    )
    addons = steps.add(Step("pod network and volumes", cluster.addons, (started, *further)))
    joined = [
        steps.add(
            Step(
                f"join meta-{index}",
                partial(cluster.join, cluster.hosts.host(f"meta-{index}")),
                (started, loaded[index - 1]),
            )
        )
        for index in range(2, count + 1)
    ]
    steps.add(Step("meta cluster ready", cluster.ready, (addons, *joined), limit=300))
    return tuple(installed)
