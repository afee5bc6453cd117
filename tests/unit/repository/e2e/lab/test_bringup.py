"""The order in which a lab comes up."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from e2e.lab import bringup
from e2e.lab.cluster.state import State, Store
from e2e.lab.images.builds import Images
from e2e.lab.lab import Lab
from e2e.lab.machine.cache import Cache
from e2e.lab.plan import BuildPlan, Supplies
from e2e.lab.programs.binaries import Builder, Program
from e2e.lab.services.artifacts import Artifacts
from e2e.lab.services.servers import Services
from e2e.lab.steps.graph import Graph

STATE = State(
    name="kok",
    subnet=IPv4Network("172.20.1.0/24"),
    pod_cidr=IPv4Network("10.200.0.0/16"),
    service_cidr=IPv4Network("10.201.0.0/16"),
    password="secret",
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    cache = Cache(tmp_path)
    builder, services = Builder(cache, Path("/go"), "go1.26.6"), Services(STATE, cache)
    images = Images(cache, builder, services)
    return Lab(STATE, Store("kok"), Supplies(cache, builder, services, images, Artifacts(cache)))


def _before(graph: Graph, name: str) -> set[str]:
    """All steps that are done before a step begins."""
    found: set[str] = set()
    waiting = list(graph.steps[name].needs)
    while waiting:
        need = waiting.pop()
        found.add(need)
        waiting += graph.steps[need].needs
    return found


def test_only_what_a_demo_needs_is_built(lab: Lab) -> None:
    steps = bringup.graph(lab.supplies, lab.meta, 1, 1).steps
    assert [name for name in steps if name.startswith("build kubernetes")] == [
        "build kubernetes v1.37.1"
    ]
    assert [name for name in steps if name.startswith("build etcd")] == ["build etcd v3.6.10"]
    assert not [name for name in steps if "versitygw" in name or "clock" in name]


def test_an_etcd_with_a_wrong_clock_is_built_beside_the_usual_one(lab: Lab) -> None:
    graph = Graph()
    plan = BuildPlan(lab.supplies, graph)
    for clock in (1800, -1800):
        plan.serve_skewed_etcd("v3.6.10", clock)
    before = _before(graph, "images etcd v3.6.10 -1800 s")
    assert "build etcd v3.6.10 with its clock at -1800 s" in before
    path = lab.supplies.builder.path
    programs = [Program("etcd", "v3.6.10", clock) for clock in (0, 1800, -1800)]
    assert len({path(item) for item in programs}) == len(programs)


def test_modules_are_built_one_after_another_while_the_next_are_fetched(lab: Lab) -> None:
    graph = bringup.graph(lab.supplies, lab.meta, 1, 0)
    assert "build kubernetes v1.37.1" in _before(graph, "build etcd v3.6.10")
    assert "build kubernetes v1.37.1" not in _before(graph, "fetch helm v4.3.1")


def test_the_cluster_starts_with_its_images_present(lab: Lab) -> None:
    before = _before(bringup.graph(lab.supplies, lab.meta, 1, 0), "kubeadm init")
    assert {"images on meta-1", "images kubernetes v1.37.1", "images etcd v3.6.10"} <= before
    assert {"install meta-1", "host meta-1", "registry and artifact server"} <= before


def test_what_a_cluster_needs_next_is_built_while_it_starts(lab: Lab) -> None:
    graph = bringup.graph(lab.supplies, lab.meta, 2, 0)
    later = {"build flannel v0.26.7", "build coredns v1.14.7", "images tools", "rootfs python"}
    assert not _before(graph, "kubeadm init") & later
    assert not _before(graph, "join meta-2") & later
    assert {"images flannel", "images coredns", "further images on meta-2"} <= _before(
        graph, "pod network and volumes"
    )
    assert {"images local-path", "join meta-2"} <= _before(graph, "meta cluster ready")


def test_nothing_but_helm_is_built_after_what_a_cluster_is_made_of(lab: Lab) -> None:
    graph = bringup.graph(lab.supplies, lab.meta, 1, 0)
    builds = {name for name in graph.steps if name.startswith("build ")}
    needed = _before(graph, "meta cluster ready")
    assert builds - needed == {"build helm v4.3.1"}
    assert needed & builds - {"build pause"} <= _before(graph, "build helm v4.3.1")


def test_koks_image_waits_for_no_cluster(lab: Lab) -> None:
    before = _before(
        bringup.graph(lab.supplies, lab.meta, 1, 0, operators=True), "KOK's image on the meta hosts"
    )
    assert not {"kubeadm init", "images on meta-1", "images kubernetes v1.37.1"} & before
    assert {"rootfs python", "build helm v4.3.1"} <= before


def test_go_and_debian_packages_come_side_by_side(lab: Lab) -> None:
    steps = bringup.machine(lab.supplies.cache, ("podman",)).steps
    assert {name: step.needs for name, step in steps.items()} == {"Debian packages": (), "Go": ()}


async def test_what_is_downloaded_waits_for_no_build(lab: Lab) -> None:
    lab.supplies.builder.releases.offer("kubernetes", "containerd")
    graph = bringup.graph(lab.supplies, lab.meta, 1, 0)
    assert "build kubernetes v1.37.1" not in graph.steps
    assert graph.steps["download kubernetes v1.37.1"].needs == ()
    assert "download containerd v2.3.7" in _before(graph, "install meta-1")
    assert graph.steps["build etcd v3.6.10"].needs == ("fetch etcd v3.6.10",)


def test_bare_hosts_wait_for_nothing_that_is_compiled(lab: Lab) -> None:
    before = _before(bringup.graph(lab.supplies, lab.meta, 1, 2), "host worker-2")
    assert before == {"network", "rootfs services", "rootfs host"}


def test_further_meta_hosts_join_before_the_cluster_is_ready(lab: Lab) -> None:
    graph = bringup.graph(lab.supplies, lab.meta, 3, 0)
    assert {"join meta-2", "join meta-3"} <= _before(graph, "meta cluster ready")
    assert "kubeadm init" in _before(graph, "join meta-3")
    assert "join meta-2" not in _before(graph, "join meta-3")


def test_the_build_cache_goes_when_all_is_built(lab: Lab) -> None:
    graph = bringup.graph(lab.supplies, lab.meta, 1, 0)
    builds = {name for name in graph.steps if name.startswith("build ")} - {"build pause"}
    assert builds <= _before(graph, "remove build cache")


def test_an_etcd_that_lacks_a_tool_is_served_with_that_of_another_version(lab: Lab) -> None:
    graph = Graph()
    plan = BuildPlan(lab.supplies, graph)
    for version in ("v3.6.10", "v3.6.11"):
        plan.serve_etcd(version)
    assert {"build etcd etcdctl v3.6.11", "build etcdutl v3.6.10"} <= _before(
        graph, "images etcd v3.6.11"
    )
