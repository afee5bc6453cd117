"""Addons that are rendered for a new version before the control plane runs it."""

from __future__ import annotations

import pytest
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.operators.cluster.cluster.operations.upgrade_world import NEW, OLD, a_world

from kok.api.cluster.addon import AddonSpec
from kok.operators.cluster.addon.context import context_of


def test_the_control_plane_waits_for_addons_that_go_before_it() -> None:
    world = a_world()
    world.before = True
    for _ in range(5):
        world.tick()
    assert world.steps[-1] == "AddonsBefore"
    assert set(world.components.values()) == {OLD}
    found = world.parsed.upgrade
    assert found is not None
    assert found.waiting_for == "Addon team-a/shop-coredns"

    world.addons = NEW
    world.tick()
    assert world.steps[-1] == "APIServer"
    world.settle()
    assert set(world.components.values()) == {NEW}
    assert world.ended == ["Done"]


def test_without_such_addons_there_is_no_such_step() -> None:
    world = a_world()
    world.settle()
    assert "AddonsBefore" not in world.steps
    assert world.ended == ["Done"]


@pytest.mark.parametrize(
    ("step", "backs", "before", "after"),
    [
        ("Preflight", False, OLD, OLD),
        ("Etcd", False, OLD, OLD),
        ("AddonsBefore", False, NEW, OLD),
        ("APIServer", False, NEW, OLD),
        ("APIServer", True, OLD, OLD),
        ("BackedOut", True, OLD, OLD),
    ],
)
def test_which_version_addons_are_rendered_for(
    step: str, backs: bool, before: str, after: str
) -> None:
    at = "2026-01-01T00:00:00Z"
    upgrade = {
        "from": OLD,
        "to": NEW,
        "hop": NEW,
        "hopFrom": OLD,
        "step": step,
        "since": at,
        "movedAt": at,
        "backingOut": backs,
    }
    status = {"endpoint": "https://192.0.2.10:31443", "version": OLD, "upgrade": upgrade}
    cluster = a_cluster(status=status, version=NEW)
    first, then = context_of(cluster, before=True), context_of(cluster)
    assert first is not None
    assert then is not None
    assert (first.version, then.version) == (before, after)


def test_an_addon_goes_after_the_control_plane_unless_it_says_otherwise() -> None:
    source = {"builtin": "kube-proxy"}
    assert not AddonSpec.model_validate({"cluster": "shop", "source": source}).goes_before
    said = {"cluster": "shop", "source": source, "upgrade": "Before"}
    assert AddonSpec.model_validate(said).goes_before
