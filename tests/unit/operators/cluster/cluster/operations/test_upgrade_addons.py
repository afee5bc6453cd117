"""Addons that are rendered for a new version before the control plane runs it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.operators.cluster.cluster.operations.upgrade_world import (
    NEW,
    OLD,
    a_world,
    somebodys,
    upgrading,
)

from kok.api.cluster.addon import AddonSpec
from kok.api.cluster.upgrade import UpgradeFinding
from kok.operators.cluster.addon.context import context_of
from kok.operators.cluster.cluster.decide import next_upgrade_look


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


def finding(check: str, severity: str = "Warning") -> UpgradeFinding:
    told = {"check": check, "severity": severity, "object": "cni", "message": "see there"}
    return UpgradeFinding.model_validate({**told, "consented": severity == "Error"})


def test_the_control_plane_waits_for_addons_that_people_made() -> None:
    world = a_world()
    cni = somebodys(upgrade="Before")
    world.others = [cni, somebodys("logs")]
    world.settle(5)
    assert world.steps[-1] == "AddonsBefore"
    assert set(world.components.values()) == {OLD}
    found = world.parsed.upgrade
    assert found is not None
    assert found.waiting_for == "Addon team-a/cni"

    cni["status"]["kubernetesVersion"] = NEW
    world.settle(20)
    assert set(world.components.values()) == {NEW}
    assert world.steps[-1] == "Addons"
    found = world.parsed.upgrade
    assert found is not None
    assert found.waiting_for == "Addon team-a/logs"

    world.others[1]["status"]["kubernetesVersion"] = NEW
    world.settle(3)
    assert world.ended == ["Done"]


def test_one_that_breaks_at_the_new_version_keeps_the_api_servers_where_they_are() -> None:
    world = a_world()
    cni = somebodys(upgrade="Before", healthy=False)
    cni["status"]["kubernetesVersion"] = NEW
    world.others = [cni]
    world.settle(5)
    assert (world.steps[-1], set(world.components.values())) == ("AddonsBefore", {OLD})


@pytest.mark.parametrize(
    ("change", "findings"),
    [
        ({"paused": True}, ()),
        ({}, (finding("AddonVersion", "Error"),)),
        ({"conditions": []}, (finding("AddonHealth"),)),
        ({"kubernetesVersion": None}, ()),
    ],
    ids=["paused", "not for the version", "cannot be rendered", "never applied"],
)
def test_what_nobody_can_render_is_not_waited_for(
    change: dict[str, Any], findings: tuple[UpgradeFinding, ...]
) -> None:
    world = a_world()
    cni = somebodys(upgrade="Before")
    for part, fields in (("spec", ("paused",)), ("status", ("conditions", "kubernetesVersion"))):
        cni[part] |= {key: value for key, value in change.items() if key in fields}
    world.others, world.findings = [cni], findings
    world.settle()
    assert world.ended == ["Done"]


def test_one_that_was_sick_before_is_rendered_and_stays_sick() -> None:
    world = a_world()
    world.others = [somebodys(upgrade="Before", healthy=False)]
    world.findings = (finding("AddonHealth"),)
    world.settle(5)
    assert world.steps[-1] == "AddonsBefore"
    world.others[0]["status"]["kubernetesVersion"] = NEW
    world.settle()
    assert world.ended == ["Done"]


def test_a_pass_that_has_not_read_them_goes_no_further_and_another_follows_at_once() -> None:
    world = a_world()
    world.unread = True
    world.settle(1)
    before = world.cluster
    world.tick()
    now = world.parsed.upgrade
    assert now is not None
    assert (now.step, set(world.components.values())) == ("AddonsBefore", {OLD})
    assert next_upgrade_look(before, now, world.now) < 1.0
    assert next_upgrade_look(world.cluster, now, world.now) > 1.0, "it is not asked for in vain"
    world.unread = False
    world.settle()
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
    upgrade = upgrading(step, backingOut=backs)
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
