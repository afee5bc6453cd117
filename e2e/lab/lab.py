"""The lab as an object: what scenarios, benchmarks and the demo work with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from e2e.lab import bringup
from e2e.lab.cluster import audit, state
from e2e.lab.cluster.hosts import SSH, Host, Hosts, ensure_key
from e2e.lab.cluster.kubeadm import AUDIT_DIRECTORY
from e2e.lab.cluster.meta import FIRST, Meta
from e2e.lab.cluster.state import State, Store
from e2e.lab.errors import LabError
from e2e.lab.images import builds, catalog, rootfs
from e2e.lab.images.operator_image import CHECKOUT
from e2e.lab.machine import podman, preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.plan import BuildPlan, Supplies, programs_of, usual
from e2e.lab.programs.binaries import program
from e2e.lab.programs.sources import BY_NAME, DOCKER
from e2e.lab.services import nvidia, s3
from e2e.lab.services.artifacts import Artifact
from e2e.lab.services.s3 import S3
from e2e.lab.steps.graph import Graph
from e2e.lab.steps.progress import reporter

SYSTEM = "debian-12"
"""What worker hosts run unless another is named."""


class Lab:
    """One lab; the package's documentation lists what it offers."""

    def __init__(self, state: State, store: Store, supplies: Supplies) -> None:
        self.state = state
        self.store = store
        self.supplies = supplies
        self.inventory = Hosts(state, store)
        self.meta = Meta(state, store, self.inventory, supplies.services, self.program("kubectl"))

    @classmethod
    async def up(
        cls,
        meta: int = 1,
        workers: int = 0,
        console: Console | None = None,
        cache: Cache | None = None,
        *,
        operators: bool = False,
    ) -> Lab:
        """Bring the lab up with at least so many hosts of each kind; what is there stays.

        With ``operators`` KOK's image is built and put on the meta hosts, beside all the rest.
        It can be called again at any time, also after it was killed, and after containers of the
        lab were. Raises LabError with what hangs and what to do.
        """
        cache = cache or Cache()
        console = console or Console()
        store = Store(state.lab_name())
        begin = time.monotonic()
        packages = preflight.check(cache)
        with cache.if_free("lab", store.name) as free:
            if not free:
                console.print(f"another command works on the lab {store.name}; waiting for it")
        async with cache.lock("lab", store.name), reporter(console) as progress:
            cache.sweep()
            await bringup.machine(cache, packages).run(progress)
            await builds.sweep(cache)
            await rootfs.sweep(cache)
            chosen = await state.ensure(store)
            ensure_key(store)
            supplies = await Supplies.open(cache, chosen)
            await supplies.decide(*usual())
            lab = cls(chosen, store, supplies)
            graph = bringup.graph(
                lab.supplies, lab.meta, max(1, meta), workers, operators=operators
            )
            timings = await graph.run(progress)
            store.write(chosen.model_copy(update={"timings": timings}))
        took = time.monotonic() - begin
        text = f"lab {lab.name} is up after {took:.1f} s; KUBECONFIG={store.kubeconfig}"
        console.print(text, highlight=False, soft_wrap=True)
        return lab

    @classmethod
    async def open(cls) -> Lab:
        """The lab of this name. Raises LabError when it was not brought up."""
        store = Store(state.lab_name())
        found = store.read()
        if found is None:
            raise LabError(f"the lab {store.name} is not up: `python -m e2e.lab up` brings it up")
        return cls(found, store, await Supplies.open(Cache(), found))

    # Where things are

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def kubeconfig(self) -> Path:
        """The meta cluster's admin."""
        return self.store.kubeconfig

    def program(self, name: str) -> Path:
        """A program of the cache at the version that the lab runs, such as kubectl or helm."""
        return self.supplies.builder.path(program(name))

    @property
    def registry(self) -> str:
        """``address:port`` of the registry; plain HTTP."""
        return self.supplies.services.registry

    @property
    def mirror(self) -> str:
        """The URL that a container runtime is given as mirror of every registry."""
        return f"http://{self.registry}"

    @property
    def artifacts_url(self) -> str:
        """Base URL of the artifact server, without a slash at its end."""
        return self.supplies.services.artifacts_url

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What the artifact server has; the same as its ``artifacts.json``."""
        return tuple(self.supplies.artifacts.index())

    # Clients

    async def kubectl(
        self, *argv: str, stdin: str | bytes | None = None, timeout: float | None = 120
    ) -> str:
        """Run kubectl against the meta cluster; its standard output."""
        return await self.meta.kubectl(*argv, stdin=stdin, timeout=timeout)

    async def helm(
        self, *argv: str, stdin: str | bytes | None = None, timeout: float | None = 300
    ) -> str:
        """Run helm against the meta cluster; its standard output."""
        return await run(
            self.program("helm"),
            f"--kubeconfig={self.kubeconfig}",
            *argv,
            stdin=stdin,
            timeout=timeout,
        )

    # Hosts

    async def hosts(self) -> list[Host]:
        """All hosts that were made, running or not."""
        return await self.inventory.existing()

    async def workers(self) -> list[Host]:
        """The bare ones."""
        return [host for host in await self.hosts() if host.role == "worker"]

    def host(self, name: str) -> Host:
        """A host by name, ``meta-N`` or ``worker-N``."""
        return self.inventory.host(name)

    def ssh(self, name: str) -> SSH:
        """How to reach a host over SSH."""
        return self.inventory.ssh(name)

    async def exec(
        self, name: str, *argv: str, stdin: str | bytes | None = None, timeout: float | None = 120
    ) -> str:
        """Run a command on a host as root, without SSH; its standard output."""
        container = self.inventory.host(name).container
        return await podman.execute(container, *argv, stdin=stdin, timeout=timeout)

    async def inside(self, name: str) -> tuple[str, ...]:
        """What to put before a command of the machine so that it runs in a host's network."""
        found = await podman.find(self.inventory.host(name).container)
        if found is None or not found.alive:
            raise LabError(f"{name} does not run: nothing can be started in its network")
        return ("nsenter", f"--net=/proc/{found.pid}/ns/net", "--")

    async def add_worker(self, name: str | None = None, system: str = SYSTEM) -> Host:
        """Make one more bare host; by default under the first free name. ``system`` is one of
        ``rootfs.SYSTEMS``; its root file system is made at its first time."""
        if system not in rootfs.SYSTEMS:
            raise LabError(f"no host runs {system}; there are {', '.join(rootfs.SYSTEMS)}")
        async with self.supplies.cache.lock("hosts", self.name):
            image = await rootfs.ensure(self.supplies.cache, rootfs.SYSTEMS[system])
            if name is None:
                taken = {host.name for host in await self.hosts()}
                free = (f"worker-{index}" for index in range(1, len(taken) + 2))
                name = next(each for each in free if each not in taken)
            return await self.inventory.ensure(name, image)

    async def reset(self, name: str, system: str = SYSTEM) -> Host:
        """Replace a worker by a bare one of the same name and address, with a new host key."""
        if self.inventory.host(name).role != "worker":
            raise LabError(f"{name} holds the meta cluster; only workers can be reset")
        await self.inventory.remove(name)
        return await self.add_worker(name, system)

    async def remove(self, name: str) -> None:
        """Remove a host with its disks; of the meta hosts only those that joined the first."""
        host = self.inventory.host(name)
        if name == FIRST:
            raise LabError(f"{name} holds the meta cluster; `down` removes the whole lab")
        if host.role == "meta":
            await self.kubectl("delete", "node", name, "--ignore-not-found")
        await self.inventory.remove(name)

    async def lose_meta(self) -> None:
        """The whole meta cluster is gone, disks and all; `up` makes another one in its place."""
        for host in await self.hosts():
            if host.role == "meta":
                await self.inventory.remove(host.name)

    async def kill(self, name: str) -> None:
        """Cut a host's power."""
        await self.inventory.kill(name)

    async def start(self, name: str) -> None:
        """Switch it on again, with the disks as they were."""
        await self.inventory.start(name)

    async def pause(self, name: str) -> None:
        """Freeze a host: its connections stay open and nothing answers."""
        await self.inventory.pause(name)

    async def unpause(self, name: str) -> None:
        """Thaw it."""
        await self.inventory.unpause(name)

    async def restart(self, name: str) -> None:
        """Reboot a host."""
        await self.inventory.restart(name)

    async def cut(self, name: str) -> None:
        """Cut a host off the network."""
        await self.inventory.cut(name)

    async def heal(self, name: str) -> None:
        """Connect it again."""
        await self.inventory.heal(name)

    # Images and versions

    async def want(
        self,
        kubernetes: str | None = None,
        etcd: Sequence[str] = (),
        console: Console | None = None,
    ) -> None:
        """Build, serve and pull onto the meta hosts further versions of Kubernetes and etcd."""
        items = [each for version in etcd for each in programs_of("etcd", version)]
        if kubernetes:
            items += programs_of("kubernetes", kubernetes) + programs_of("kubectl", kubernetes)
        await self.supplies.decide(*items)
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        toolbox = plan.rootfs(rootfs.TOOLBOX)
        if kubernetes:
            plan.serve_kubernetes(kubernetes, toolbox)
        for version in etcd:
            plan.serve_etcd(version)
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        wanted = [*catalog.kubernetes(kubernetes)] if kubernetes else []
        wanted += [catalog.etcd(version) for version in etcd]
        await self.prepull(*(image.reference for image in wanted))

    async def want_docker(self, console: Console | None = None) -> str:
        """Serve Docker and cri-dockerd to hosts; the version of Docker's engine."""
        await self.supplies.decide(*programs_of("cri-dockerd"))
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        plan.serve_docker()
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        return DOCKER

    async def want_problem_detector(self, console: Console | None = None) -> str:
        """Serve node-problem-detector to hosts; its version."""
        await self.supplies.decide(*programs_of("node-problem-detector"))
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        plan.serve_problem_detector()
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        return BY_NAME["node-problem-detector"].version.removeprefix("v")

    async def want_s3(self, console: Console | None = None) -> S3:
        """An S3 server that pods, hosts and machine reach; what it holds stays until `down`."""
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        plan.programs(s3.PROGRAM.name)
        plan.forget_sources()
        async with self.supplies.cache.lock("s3", self.name):
            async with reporter(console or Console()) as progress:
                await graph.run(progress)
            binary = self.supplies.builder.path(s3.PROGRAM)
            return await s3.ensure(self.state, self.store, self.inventory.network, binary)

    async def want_nvidia(self, console: Console | None = None) -> None:
        """What hosts with GPUs fetch and pull, see `services.nvidia`."""
        supplies, graph = self.supplies, Graph()
        plan = BuildPlan(supplies, graph)
        toolbox = plan.rootfs(rootfs.TOOLBOX)
        plan.programs(nvidia.TOOLKIT)
        built = plan.programs(nvidia.PLUGIN)
        plan.serve_images("nvidia", (catalog.device_plugin(),), built, toolbox)
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        await nvidia.serve(supplies.cache, supplies.artifacts, supplies.builder)

    async def want_konnectivity(self, console: Console | None = None) -> None:
        """The images of tunnels are served, and the servers' one is on the meta hosts."""
        await self.supplies.decide(*programs_of("konnectivity"))
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        built = plan.programs("konnectivity")
        plan.serve_images("konnectivity", catalog.konnectivity(), built)
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        await self.prepull(catalog.PROXY_SERVER)

    async def want_addons(self, console: Console | None = None) -> None:
        """The images of those built-in addons are served that no lab has by itself."""
        sources = ("metrics-server", "traefik", "kube-network-policies")
        await self.supplies.decide(*(item for each in sources for item in programs_of(each)))
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        toolbox = plan.rootfs(rootfs.TOOLBOX)
        built = [plan.programs(source) for source in sources]
        plan.serve_images("addons", catalog.addons(), *built, toolbox)
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)

    async def enforce_policies(self, console: Console | None = None) -> None:
        """NetworkPolicies are enforced in the meta cluster, until `ignore_policies`."""
        graph = Graph()
        plan = BuildPlan(self.supplies, graph)
        toolbox = plan.rootfs(rootfs.TOOLBOX)
        built = plan.programs("kube-network-policies")
        plan.serve_images("network policies", (catalog.network_policies(),), built, toolbox)
        plan.forget_sources()
        async with reporter(console or Console()) as progress:
            await graph.run(progress)
        await self.prepull(catalog.NETWORK_POLICIES)
        await self.meta.enforce()

    async def ignore_policies(self) -> None:
        """Nobody enforces NetworkPolicies in the meta cluster any more."""
        await self.meta.ignore([host for host in await self.hosts() if host.role == "meta"])

    async def prepull(self, *references: str) -> None:
        """Pull images onto every meta host, so that pods start without waiting for them."""
        await self.meta.pull(*references)

    async def load_image(self, local: str, reference: str) -> None:
        """Serve an image of podman's storage under a reference, and pull it onto meta hosts."""
        repository, tag = reference.split("/", 1)[1].rsplit(":", 1)
        await self.supplies.images.push(local, repository, tag)
        await self.prepull(reference)

    async def operator_image(self, tree: Path = CHECKOUT) -> str:
        """KOK's image of a tree, built if it changed: served, and on the meta hosts."""
        return await bringup.place_operator_image(self.supplies, self.meta, tree)

    # What happened

    async def audit(self, since: datetime) -> list[audit.Write]:
        """The writes that the meta API server was asked for since a moment (with time zone)."""
        text = await self.exec(FIRST, "sh", "-c", f"cat {AUDIT_DIRECTORY}/*.log", timeout=60)
        return audit.parse(text.splitlines(), since)

    async def writes(self, since: datetime) -> Counter[str]:
        """How many writes came from which user agent; renewed Leases do not count."""
        return audit.by_user_agent(await self.audit(since))
