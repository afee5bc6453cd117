"""The tables of programs and of images."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.lab.errors import LabError
from e2e.lab.images import catalog, rootfs
from e2e.lab.images.catalog import Image
from e2e.lab.programs.binaries import Program, in_wheel, program
from e2e.lab.programs.sources import BY_NAME, KUBERNETES_PREVIOUS, SOURCES, Source

from kok.addons import IMAGES
from kok.versions import kubernetes


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_program_lies_in_a_module_of_its_source(source: Source) -> None:
    ours = tuple(f"./{name.rsplit('/', 1)[0]}" for name in source.files)
    for package in source.programs.values():
        assert package.startswith((source.module, *source.companions, *ours))


def test_no_two_sources_make_a_program_of_the_same_name() -> None:
    names = [name for source in SOURCES for name in source.programs]
    assert len(names) == len(set(names))


def test_a_build_tells_its_version() -> None:
    flags = program("kubelet", "v1.36.4").source.at("v1.36.4")
    assert "k8s.io/component-base/version.gitVersion=v1.36.4" in flags
    assert "k8s.io/component-base/version.gitMinor=36" in flags


def test_a_program_has_the_version_of_the_lab_by_default() -> None:
    assert program("etcdctl") == Program("etcdctl", "v3.6.10")


def test_a_program_that_cannot_be_had_at_a_version_is_taken_from_another() -> None:
    image = catalog.etcd("v3.6.11")
    assert image.reference == "registry.k8s.io/etcd:3.6.11-0"
    assert {item.name: item.version for item in image.programs.values()} == {
        "etcd": "v3.6.11",
        "etcdctl": "v3.6.11",
        "etcdutl": "v3.6.10",
    }


def test_an_etcd_with_a_wrong_clock_has_a_name_of_its_own_and_the_usual_tools() -> None:
    usual, ahead, behind = (catalog.etcd("v3.6.10", clock) for clock in (0, 1800, -1800))
    assert ahead.reference == "registry.k8s.io/etcd:3.6.10-0-clock-ahead-1800"
    assert behind.reference == "registry.k8s.io/etcd:3.6.10-0-clock-behind-1800"
    assert {item.name: item.clock for item in behind.programs.values()} == {
        "etcd": -1800,
        "etcdctl": 0,
        "etcdutl": 0,
    }
    assert not any(item.clock for item in usual.programs.values())


def test_only_modules_of_wanted_programs_are_required() -> None:
    etcd = BY_NAME["etcd"]
    assert etcd.modules(["etcd", "etcdctl"]) == (
        "go.etcd.io/etcd/server/v3",
        "go.etcd.io/etcd/etcdctl/v3",
    )
    assert etcd.modules(["etcdutl"])[1:] == ("go.etcd.io/etcd/etcdutl/v3",)


def test_coredns_is_made_with_what_its_corefiles_use() -> None:
    (main,) = BY_NAME["coredns"].files.values()
    for plugin in (
        "kubernetes",
        "forward",
        "cache",
        "health",
        "ready",
        "loop",
        "reload",
        "metrics",
    ):
        assert f'_ "github.com/coredns/coredns/plugin/{plugin}"' in main


def test_kubectl_comes_as_a_wheel_at_the_versions_of_the_lab_and_is_built_at_others() -> None:
    kubectl = program("kubectl")
    assert [in_wheel(each) for each in (kubectl, program("kubectl", KUBERNETES_PREVIOUS))] == [
        True,
        True,
    ]
    assert not in_wheel(program("kubectl", "v1.35.0"))
    assert not in_wheel(program("kubelet"))


def test_an_unknown_program_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(LabError, match=r"kubelt is no program .* kubelet"):
        program("kubelt")


def _served() -> list[Image]:
    return [
        *catalog.kubernetes("v1.37.1"),
        *catalog.kubernetes("v1.36.4"),
        catalog.etcd("v3.6.10"),
        catalog.etcd("v3.6.11"),
        catalog.etcd("v3.7.3"),
        catalog.pause(),
        catalog.coredns(),
        catalog.local_path(),
        *catalog.flannel(),
        *catalog.tools(),
        *catalog.konnectivity(),
        *catalog.addons(),
        catalog.device_plugin(),
    ]


def test_images_have_the_names_that_a_cluster_pulls() -> None:
    references = {image.reference for image in _served()}
    assert {
        "registry.k8s.io/kube-apiserver:v1.37.1",
        "registry.k8s.io/kube-proxy:v1.36.4",
        "registry.k8s.io/etcd:3.6.10-0",
        "registry.k8s.io/coredns/coredns:v1.14.7",
        "registry.k8s.io/pause:3.10.1",
    } <= references


def test_every_image_of_a_built_in_addon_can_be_had_in_a_lab() -> None:
    release = kubernetes("1.37.1")
    assert {release.image(name) for name in IMAGES} <= {image.reference for image in _served()}


def test_no_two_images_share_a_place_in_the_registry() -> None:
    places = [(image.repository, image.tag) for image in _served()]
    assert len(places) == len(set(places))


def test_a_mirror_is_asked_for_an_image_without_its_registry() -> None:
    assert catalog.coredns().repository == "coredns/coredns"
    assert catalog.coredns().tag == "v1.14.7"


def test_an_image_of_one_program_has_next_to_nothing_below_it() -> None:
    recipe = catalog.etcd("v3.6.10").containerfile()
    assert recipe.startswith(f"FROM {rootfs.static_image()}\n")


def test_a_base_is_named_by_its_recipe() -> None:
    proxy = next(i for i in catalog.kubernetes("v1.37.1") if "kube-proxy" in i.reference)
    assert f"FROM {rootfs.TOOLBOX.image}\n" in proxy.containerfile()


def test_an_image_is_another_when_its_program_was_built_otherwise() -> None:
    image = catalog.coredns()
    (item,) = image.programs.values()
    old, new = (
        image.digest({item: Path(f"/cache/{toolchain}/coredns")}) for toolchain in ("go1", "go2")
    )
    assert old != new
    assert old == image.digest({item: Path("/cache/go1/coredns")})
