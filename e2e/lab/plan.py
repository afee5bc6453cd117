"""The parts of one lab, wired together; and everything that is built, as steps of a graph."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from e2e.lab.cluster.state import State
from e2e.lab.images import builds, catalog, rootfs
from e2e.lab.images.builds import Images
from e2e.lab.images.catalog import Image
from e2e.lab.images.rootfs import RootFS
from e2e.lab.machine import preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.programs.binaries import Builder, Program, architecture, group_of, in_wheel, program
from e2e.lab.programs.releases import NotAvailable, Releases
from e2e.lab.programs.sources import BY_NAME, DOCKER, ETCD, KUBERNETES, RUNC, SOURCES, Source
from e2e.lab.services import artifacts as artifact
from e2e.lab.services.artifacts import Artifacts
from e2e.lab.services.servers import Services
from e2e.lab.steps.graph import Graph, Step

BUILD_SECONDS = 3600.0


@dataclass(frozen=True)
class Supplies:
    """What builds and serves: the same for every command that needs more than to look."""

    cache: Cache
    builder: Builder
    services: Services
    images: Images
    artifacts: Artifacts

    @classmethod
    async def open(cls, cache: Cache, state: State) -> Supplies:
        go, toolchain = await preflight.go(cache)
        builder = Builder(cache, go, toolchain)
        services = Services(state, cache)
        return cls(cache, builder, services, Images(cache, builder, services), Artifacts(cache))

    async def decide(self, *items: Program) -> None:
        """Find out which of these are downloaded, before a plan is made of what has to be built."""
        await self.builder.decide(items)

    async def forget_sources(self) -> None:
        """Make room, unless a program of a lab is still to be built."""
        if not self.builder.missing(usual()):
            await self.builder.forget_sources()


def usual() -> list[Program]:
    """The programs that every lab has."""
    always = (source for source in SOURCES if not source.on_request)
    return [program(name) for source in always for name in source.programs]


def programs_of(source: str, version: str | None = None) -> list[Program]:
    """All programs of a source at a version, by default the lab's."""
    return [program(name, version) for name in BY_NAME[source].programs]


@dataclass(frozen=True)
class Served:
    """The steps after which what a lab serves is there.

    ``first`` are images that a meta cluster starts with, ``further`` those that it needs next; ``helm``
    goes into KOK's image.
    """

    first: tuple[str, ...]
    further: tuple[str, ...]
    artifacts: tuple[str, ...]
    helm: str


class BuildPlan:
    """A graph of what has to be built and served, with what it needs of the rest of a lab."""

    def __init__(self, supplies: Supplies, graph: Graph, served: Iterable[str] = ()) -> None:
        """``served`` names the steps after which registry and artifact server run."""
        self.supplies = supplies
        self.graph = graph
        self.served = tuple(served)
        self._fetched: tuple[str, ...] = ()
        self._built: tuple[str, ...] = ()

    def rootfs(self, wanted: RootFS, *needs: str) -> str:
        run = partial(rootfs.ensure, self.supplies.cache, wanted)
        log = self.supplies.cache.logs / f"rootfs-{wanted.name}.log"
        expected = sum(each.seconds for each in rootfs.pending(self.supplies.cache, wanted))
        return self._add(f"rootfs {wanted.name}", run, needs, hint=f"log: {log}", expected=expected)

    def programs(self, source: str, version: str | None = None) -> str:
        """Fetch and build the programs of a module; modules are built one after another."""
        versions: dict[str, list[Program]] = {}
        for name in BY_NAME[source].programs:
            item = program(name, version)
            versions.setdefault(item.version, []).append(item)
        steps = [self._build(BY_NAME[source], items) for items in versions.values()]
        return steps[-1]  # which waits for those before it

    def _build(self, source: Source, items: Sequence[Program]) -> str:
        names = [item.name for item in items]
        whole = len(names) == len(source.programs)
        version, clock = items[0].version, items[0].clock
        logs, group = self.supplies.cache.logs, group_of(items)
        label = f"{source.name if whole else ' '.join(names)} {version}"
        label += f" with its clock at {clock:+d} s" if clock else ""
        build_hint = f"log: {logs}/build-{group}.log"
        if in_wheel(items[0]):
            # Nothing is compiled, so that it waits for nobody.
            unpack = partial(self.supplies.builder.ensure, items)
            return self._add(f"fetch {label}", unpack, hint=build_hint)
        if self.supplies.builder.downloaded(items):
            return self._download(label, items, build_hint)
        fetch = self._add(
            f"fetch {label}",
            partial(self.supplies.builder.fetch, items),
            self._fetched,
            hint=f"log: {logs}/fetch-{group}.log",
            limit=BUILD_SECONDS,
        )
        build = self._add(
            f"build {label}",
            partial(self.supplies.builder.ensure, items),
            (fetch, *self._built),
            hint=build_hint,
            limit=BUILD_SECONDS,
            expected=self.supplies.builder.expected(items),
        )
        self._fetched, self._built = (fetch,), (build,)
        return build

    def _download(self, label: str, items: Sequence[Program], hint: str) -> str:
        """Next to nothing is computed, so that it waits for nobody."""
        builder = self.supplies.builder
        return self._add(
            f"download {label}",
            partial(builder.ensure, items),
            hint=hint,
            limit=BUILD_SECONDS,
            expected=builder.expected(items),
            detail=partial(builder.progress, items),
        )

    def serve_images(self, label: str, wanted: Iterable[Image], *needs: str) -> str:
        run = partial(self.supplies.images.ensure, list(wanted))
        hint = f"log: {self.supplies.cache.logs}/images.log"
        return self._add(f"images {label}", run, (*needs, *self.served), hint=hint)

    def serve_kubernetes(self, version: str, toolbox: str) -> tuple[str, str]:
        """Build and serve one Kubernetes version; the steps of its images and its artifacts."""
        kubectl = self.programs("kubectl", version)
        built = self.programs("kubernetes", version)
        served = self.serve_images(
            f"kubernetes {version}", catalog.kubernetes(version), built, toolbox
        )
        run = partial(_kubernetes_artifacts, self.supplies, version)
        return served, self._add(f"artifacts kubernetes {version}", run, (built, kubectl))

    def serve_etcd(self, version: str) -> str:
        built = self.programs("etcd", version)
        return self.serve_images(f"etcd {version}", (catalog.etcd(version),), built)

    def serve_skewed_etcd(self, version: str, clock: int) -> str:
        """etcd with a wrong clock, beside the tools of that version, which are there already."""
        image = catalog.etcd(version, clock)
        self._build(BY_NAME["etcd"], [Program("etcd", version, clock)])
        return self.serve_images(f"etcd {version} {clock:+d} s", (image,), *self._built)

    def everything(self, toolbox: str, services: str) -> Served:
        """All that a lab serves; what its meta cluster starts with is built first."""
        kubernetes, binaries = self.serve_kubernetes(KUBERNETES, toolbox)
        etcd = self.serve_etcd(ETCD)
        containerd = self.programs("containerd")
        cni = self.programs("cni-plugins")
        plugin, flannel = self.programs("flannel-cni-plugin"), self.programs("flannel")
        coredns = self.programs("coredns")
        local_path = self.programs("local-path-provisioner")
        helm = self.programs("helm")
        pause = self._add("build pause", partial(builds.ensure_pause, self.supplies.cache))
        run = partial(_base_artifacts, self.supplies)
        base = self._add("artifacts containerd, cni, runc", run, (containerd, cni, services))
        return Served(
            first=(kubernetes, etcd, self.serve_images("pause", (catalog.pause(),), pause)),
            further=(
                self.serve_images("coredns", (catalog.coredns(),), coredns),
                self.serve_images("flannel", catalog.flannel(), flannel, plugin, toolbox),
                self.serve_images("local-path", (catalog.local_path(),), local_path, toolbox),
                self.serve_images("tools", catalog.tools(), toolbox),
            ),
            artifacts=(binaries, base),
            helm=helm,
        )

    def serve_docker(self) -> str:
        """Docker and cri-dockerd as artifacts; a lab has them only on request."""
        built, packages = self.programs("cri-dockerd"), self.rootfs(rootfs.DOCKER)
        run = partial(_docker_artifacts, self.supplies)
        return self._add("artifacts docker, cri-dockerd", run, (built, packages))

    def serve_problem_detector(self) -> str:
        """node-problem-detector as an artifact; on request as well."""
        name = "node-problem-detector"
        run = partial(_problem_detector_artifact, self.supplies)
        return self._add(f"artifact {name}", run, (self.programs(name),))

    def forget_sources(self) -> None:
        """Make room once all programs are there."""

        self._add("remove build cache", self.supplies.forget_sources, self._built)

    def _add(
        self,
        name: str,
        run: Callable[[], Awaitable[object]],
        needs: Iterable[str] = (),
        *,
        hint: str = "",
        limit: float = 900.0,
        expected: float = 0.0,
        detail: Callable[[], str] = str,
    ) -> str:
        return self.graph.add(Step(name, run, tuple(needs), limit, hint, expected, detail))


async def _kubernetes_artifacts(supplies: Supplies, version: str) -> None:
    for name in artifact.KUBERNETES_PROGRAMS:
        path = artifact.kubernetes_path(name, version, architecture())
        source = supplies.builder.path(program(name, version))
        await supplies.artifacts.add_file(name, version, path, source)


async def _base_artifacts(supplies: Supplies) -> None:
    """What every host gets beside Kubernetes, in archives like upstream's."""
    containerd, cni = BY_NAME["containerd"], BY_NAME["cni-plugins"]
    await _archive(supplies, "containerd", containerd.version, "bin/", containerd.programs)
    # Upstream's archive lost the flannel plugin too; it comes in flannel's own image.
    await _archive(supplies, "cni-plugins", cni.version, "./", cni.programs)
    runc = await ensure_runc(supplies.cache, supplies.builder.releases)
    path = artifact.archive_path("runc", RUNC, architecture())
    await supplies.artifacts.add_file("runc", RUNC, path, runc)


async def _archive(
    supplies: Supplies, name: str, version: str, prefix: str, programs: Iterable[str]
) -> None:
    members = {f"{prefix}{item}": supplies.builder.path(program(item)) for item in programs}
    path = artifact.archive_path(name, version, architecture())
    await supplies.artifacts.add_archive(name, version, path, members)


# Where Debian has what lies in the archive of Docker's static programs.
_DOCKER = {
    "containerd": "/usr/bin/containerd",
    "containerd-shim-runc-v2": "/usr/bin/containerd-shim-runc-v2",
    "ctr": "/usr/bin/ctr",
    "docker": "/usr/bin/docker",
    "docker-init": "/usr/bin/tini-static",
    "docker-proxy": "/usr/sbin/docker-proxy",
    "dockerd": "/usr/sbin/dockerd",
    "runc": "/usr/sbin/runc",
}


async def _docker_artifacts(supplies: Supplies) -> None:
    """Docker as Debian builds it, in the archive that Docker publishes; and cri-dockerd."""

    async def extract(work: Path) -> None:
        for name, path in _DOCKER.items():
            await rootfs.extract(supplies.cache, rootfs.DOCKER.image, path, work / name)

    key = ("programs", "docker", DOCKER, f"{architecture()}-{rootfs.DOCKER.digest}")
    programs = await supplies.cache.ensure(key, extract)
    members = {f"docker/{name}": programs / name for name in _DOCKER}
    path = artifact.archive_path("docker", DOCKER, architecture())
    await supplies.artifacts.add_archive("docker", DOCKER, path, members)
    cri = BY_NAME["cri-dockerd"]
    await _archive(supplies, "cri-dockerd", cri.version, "cri-dockerd/", cri.programs)


async def _problem_detector_artifact(supplies: Supplies) -> None:
    detector = BY_NAME["node-problem-detector"]
    await _archive(supplies, detector.name, detector.version, "bin/", detector.programs)


async def ensure_runc(cache: Cache, releases: Releases) -> Path:
    """runc as its project publishes it, or as Debian builds it: then it is taken out of the
    services' root file system."""

    async def build(work: Path) -> None:
        await releases.decide({"runc": RUNC})
        if releases.offers("runc"):
            with contextlib.suppress(NotAvailable):
                found = (await releases.download(work, "runc", RUNC, ["runc"]))["runc"]
                found.path.rename(work / "runc")
                (work / "runc").chmod(0o755)
                found.path.parent.rmdir()
                return
        await rootfs.extract(cache, rootfs.SERVICES.image, "/usr/sbin/runc", work / "runc")

    return await cache.ensure(("programs", "runc", RUNC, architecture()), build) / "runc"
