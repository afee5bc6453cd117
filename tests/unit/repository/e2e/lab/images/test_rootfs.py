"""Root file systems: which recipes make another image."""

from __future__ import annotations

from dataclasses import replace

from e2e.lab.images import rootfs


def test_hosts_of_each_system_are_images_of_their_own_with_the_same_files() -> None:
    images = {system.image for system in rootfs.SYSTEMS.values()}
    assert len(images) == len(rootfs.SYSTEMS)
    assert {system.overlay for system in rootfs.SYSTEMS.values()} == {rootfs.HOST.overlay}
    assert {system.packages for system in rootfs.SYSTEMS.values()} == {rootfs.HOST.packages}


def test_another_release_makes_another_image() -> None:
    assert replace(rootfs.HOST, suite="sid").digest != rootfs.HOST.digest
