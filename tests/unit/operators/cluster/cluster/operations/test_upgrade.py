"""An upgrade goes through its steps in order, whatever happens to the operator and to the spec."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.cluster.builders import (
    NOW,
    a_cluster,
    a_deployment,
    a_view,
    an_addon,
    an_etcd,
)

from kok import versions
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import ClusterStatus
from kok.api.cluster.upgrade import UpgradeFinding
from kok.operators.cluster.cluster.decide import decide, running_version
from kok.operators.cluster.cluster.observe import BackupSeen, ClusterView
from kok.operators.cluster.cluster.operations import upgrade
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.naming import API_SERVER, COMPONENTS
from kok.runtime.policy import Policies

OLD, NEW = "1.36.4", "1.37.1"
ERROR = UpgradeFinding(check="NodeSkew", severity="Error", object="1.30.1", message="too old")
STORE = {"store": {"volume": {"claim": "backups"}}}


@dataclass
class World:
    """A Cluster, its Deployments, and an operator that makes one pass after the other."""

    spec: dict[str, Any]
    status: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, OLD))
    rolling: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Versions that never get ready."""
    addons: str = OLD
    etcd: str = "3.6.10"
    findings: tuple[UpgradeFinding, ...] = ()
    backup: BackupSeen | None = None
    etcd_asleep: bool = False
    now: datetime = NOW
    steps: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        return a_cluster(status=self.status, annotations=self.annotations, **self.spec)

    @property
    def view(self) -> ClusterView:
        made = [
            a_deployment(name, version=version, ready=0 if name in self.rolling else 1)
            for name, version in self.components.items()
        ]
        addon = an_addon("coredns")
        addon["status"]["kubernetesVersion"] = self.addons
        etcd = an_etcd(version=self.etcd, ready=not self.etcd_asleep)
        etcd["status"]["version"] = self.etcd
        if self.etcd_asleep:
            etcd["status"]["hibernation"] = {"step": "Asleep"}
        return a_view(etcd, addon, *made, upgrade_backup=self.backup)

    def tick(self, *, seconds: float = 1.0, dies: bool = False) -> Upgrade:
        """One pass; an operator that `dies` has recorded what it must, and done nothing."""
        self.now += timedelta(seconds=seconds)
        cluster, view = self.cluster, self.view
        decided = decide(cluster, view, Policies(), self.now)
        found = decided.upgrade
        status = cluster.status.model_copy(deep=True)
        status.upgrade, status.lowest_version = found.status, found.lowest
        if found.ended is not None:
            status.last_upgrade = found.ended
            self.ended.append(found.ended.result)
        if found.status is not None and self.steps[-1:] != [found.status.step]:
            self.steps.append(found.status.step)
        if not dies:
            self._act(decided.versions_once_answering, found)
            if found.at(upgrade.PREFLIGHT) and status.upgrade is not None:
                status.upgrade.findings = list(self.findings)
        status.version = running_version(cluster, self.view)
        self.status = status.manifest()
        return found

    def _act(self, wanted: Any, found: Upgrade) -> None:
        for name, version in wanted.items():
            if self.components[name] != version:
                self.components[name] = version
                self.rolling.add(name)
        if found.at(upgrade.BACKUP) and self.backup is None and found.status is not None:
            name = found.status.backup or ""
            self.backup = BackupSeen(name, proven=False, failed=False, message="runs", steps=0)

    def go(self) -> None:
        """All that is under way ends well, but for what is broken."""
        self.rolling = {name for name in self.rolling if self.components[name] in self.broken}
        self.addons = self.parsed.version or self.addons
        if self.backup is not None:
            self.backup = BackupSeen(
                self.backup.name, proven=True, failed=False, message="", steps=2
            )

    @property
    def parsed(self) -> ClusterStatus:
        return ClusterStatus.model_validate(self.status)

    def settle(self, most: int = 60) -> None:
        for _ in range(most):
            self.tick()
            self.go()


def a_world(to: str = NEW, running: str = OLD, **spec: Any) -> World:
    status = {
        "version": running,
        "components": [{"name": c, "version": running} for c in COMPONENTS],
    }
    return World(
        {"version": to, **spec},
        status,
        components=dict.fromkeys(COMPONENTS, running),
        addons=running,
    )


def test_it_goes_through_all_steps_in_order_and_is_over() -> None:
    world = a_world(etcd={"backup": STORE})
    world.settle()
    assert world.steps == ["Preflight", "Backup", "APIServer", "Controllers", "Addons"]
    assert world.components == dict.fromkeys(COMPONENTS, NEW)
    assert world.parsed.upgrade is None
    assert world.ended == ["Done"]
    last = world.parsed.last_upgrade
    assert last is not None
    assert (last.from_, last.to, last.result) == (OLD, NEW, "Done")


def test_what_is_called_off_before_anything_was_changed_is_over_at_once() -> None:
    world = a_world()
    world.findings = (ERROR,)
    world.tick()
    world.tick()
    assert world.steps == ["Preflight"]
    world.spec["version"] = OLD
    assert world.tick() == Upgrade(released=OLD, lowest=OLD)
    assert world.parsed.upgrade is None


def test_a_cluster_where_it_should_be_upgrades_nothing() -> None:
    world = a_world(to=OLD)
    assert world.tick() == Upgrade(released=OLD, lowest=OLD)


def test_a_component_that_restarts_is_no_upgrade() -> None:
    world = a_world(to=OLD)
    world.rolling = set(COMPONENTS)
    assert world.tick().status is None


def test_an_error_keeps_every_component_where_it_is_until_it_is_consented_to() -> None:
    world = a_world()
    world.findings = (ERROR,)
    world.settle(5)
    assert world.steps == ["Preflight"]
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    world.findings = (ERROR.model_copy(update={"consented": True}),)
    world.settle()
    assert world.parsed.version == NEW


def test_a_warning_keeps_nothing() -> None:
    world = a_world()
    world.findings = (ERROR.model_copy(update={"severity": "Warning"}),)
    world.settle()
    assert world.parsed.version == NEW


def test_nothing_moves_before_the_backup_is_proven() -> None:
    world = a_world(etcd={"backup": STORE})
    for _ in range(5):
        world.tick()
    assert world.steps == ["Preflight", "Backup"]
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    name = world.parsed.upgrade.backup if world.parsed.upgrade else None
    assert world.backup is not None
    assert world.backup.name == name == "shop-upgrade-20261122120002"


def test_the_backup_of_another_version_that_was_tried_long_ago_does_not_count() -> None:
    world = a_world(to="1.37.0", etcd={"backup": STORE})
    world.broken = {"1.37.0"}
    world.settle(8)
    first = world.backup
    assert first is not None
    assert first.proven
    world.now += timedelta(days=3)
    world.spec["version"] = NEW
    world.tick(), world.tick()
    assert world.steps[-1] == "Backup"
    assert world.parsed.upgrade is not None
    assert world.parsed.upgrade.backup not in {None, first.name}
    world.settle(5)
    assert world.components[API_SERVER] == "1.37.0", "it waits for one of its own"


def test_each_minor_has_a_backup_of_its_own() -> None:
    world = a_world(running="1.35.4", upgrade={"chained": True}, etcd={"backup": STORE})
    names = []
    for _ in range(60):
        world.tick()
        under_way = world.parsed.upgrade
        if under_way is not None and under_way.backup and under_way.backup not in names:
            names.append(under_way.backup)
            world.backup = None
        world.go()
    assert world.parsed.version == NEW
    assert len(names) == 2


def test_a_backup_that_failed_says_how_there_is_another_one() -> None:
    world = a_world(etcd={"backup": STORE})
    world.tick(), world.tick()
    assert world.backup is not None
    world.backup = BackupSeen(
        world.backup.name, proven=False, failed=True, message="the store is full", steps=0
    )
    found = world.tick()
    assert found.status is not None
    assert "the store is full; mend that, and delete it" in found.status.waiting_for


def test_the_name_of_the_backup_survives_the_operator() -> None:
    world = a_world(etcd={"backup": STORE})
    world.tick()
    world.tick(dies=True)
    first = world.parsed.upgrade
    world.tick()
    assert first is not None
    assert first.backup is not None
    assert world.backup is not None
    assert world.backup.name == first.backup


def test_an_etcd_that_is_too_old_goes_first() -> None:
    world = a_world(etcd={"version": "3.6.11"})
    world.tick(), world.tick()
    decided = decide(world.cluster, world.view, Policies(), world.now)
    assert world.steps[-1] == "Etcd"
    assert decided.etcd_version == "3.6.11"
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    world.etcd = "3.6.11"
    world.settle()
    assert world.parsed.version == NEW


def test_an_etcd_that_nobody_chose_is_upgraded_only_where_the_version_needs_that() -> None:
    world = a_world()
    world.etcd = "3.5.21"
    assert decide(a_world(to=OLD).cluster, world.view, Policies(), NOW).etcd_version == "3.5.21"
    world.tick()
    world.tick()
    decided = decide(world.cluster, world.view, Policies(), world.now)
    assert (world.steps[-1], decided.etcd_version) == ("Etcd", "3.6.10")


def test_etcd_stays_as_it_is_until_its_step() -> None:
    world = a_world(etcd={"version": "3.6.11"})
    world.findings = (ERROR,)
    world.tick()
    assert decide(world.cluster, world.view, Policies(), world.now).etcd_version == "3.6.10"


def test_a_chain_goes_through_each_minor() -> None:
    world = a_world(to="1.37.1", running="1.34.4", upgrade={"chained": True})
    seen = []
    for _ in range(80):
        world.tick()
        world.go()
        if world.components[API_SERVER] not in seen:
            seen.append(world.components[API_SERVER])
    assert seen == ["1.34.4", "1.35.4", "1.36.4", "1.37.1"]
    assert world.ended == ["Done"]
    last = world.parsed.last_upgrade
    assert last is not None
    assert (last.from_, last.to) == ("1.34.4", "1.37.1")


def test_a_chain_waits_for_nodes_that_the_next_minor_would_leave_behind() -> None:
    world = a_world(to="1.37.1", running="1.36.4")
    world.status["nodes"] = {"ready": 1, "total": 1, "versions": {"1.34.4": 1}}
    world.settle()
    assert world.parsed.version == "1.37.1", "three minors are what kubelets may be behind"
    assert upgrade.too_old(world.cluster, "1.38.0") == {"1.34.4": 1}


def test_a_version_that_never_gets_ready_is_named_after_the_deadline() -> None:
    world = a_world()
    world.broken = {NEW}
    world.settle(10)
    assert not world.tick().stuck
    found = world.tick(seconds=700)
    assert found.stuck
    assert world.steps[-1] == "APIServer"
    assert world.parsed.version == OLD


def test_what_hangs_goes_back_by_itself_and_is_not_tried_again() -> None:
    world = a_world(upgrade={"onFailure": "BackOut"})
    world.broken = {NEW}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    assert world.steps[-1] == "BackedOut"
    assert world.ended == ["BackedOut"]
    world.settle(10)
    assert world.ended == ["BackedOut"]
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    world.broken = set()
    world.annotations = {"kok.dev/upgrade-retry": "1"}
    world.settle()
    assert world.parsed.version == NEW
    assert world.ended == ["BackedOut", "Done"]


def test_what_was_taken_back_is_tried_again_when_a_fleet_raises_it_once_more() -> None:
    world = a_world(to=OLD, upgrade={"onFailure": "BackOut"})
    world.broken = {NEW}
    world.status["raised"] = {"to": NEW, "by": "team-a/june", "at": "2026-11-22T11:00:00Z"}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    assert world.ended == ["BackedOut"]
    world.broken = set()
    world.settle(10)
    assert world.parsed.version == OLD
    world.status["raised"]["at"] = "2026-11-22T12:30:00Z"
    world.settle()
    assert world.parsed.version == NEW
    assert world.ended == ["BackedOut", "Done"]


def hanging(**spec: Any) -> World:
    """A World in which the new version never gets ready, as of a moment ago."""
    world = a_world(upgrade={"onFailure": "BackOut"}, **spec)
    world.broken = {NEW}
    world.settle(10)
    assert world.steps[-1] == "APIServer"
    return world


def goes_back(world: World, *, seconds: float = 1.0) -> bool:
    """Whether the next pass finds it on the way back."""
    found = world.tick(seconds=seconds)
    assert found.status is not None
    return found.status.backing_out


def test_time_asleep_is_not_held_against_an_upgrade() -> None:
    world = hanging()
    world.spec["hibernate"] = world.etcd_asleep = True
    world.tick(seconds=86400)
    world.spec["hibernate"] = False
    assert not goes_back(world, seconds=86400), "etcd starts first"
    world.etcd_asleep = False
    assert not goes_back(world, seconds=60), "it has its time from when it woke"
    assert goes_back(world, seconds=700)


def test_time_paused_is_not_held_against_an_upgrade() -> None:
    world = hanging()
    world.now += timedelta(days=1)
    world.spec["paused"] = True
    found = upgrade.decide(world.cluster, world.view, world.now)
    assert found.status is not None
    assert (found.stuck, found.status.backing_out) == (False, False)
    world.spec["paused"] = False
    since = {"type": "Paused", "reason": "SpecPaused", "lastTransitionTime": "2026-11-22T12:00:00Z"}
    world.status["conditions"] = [{**since, "status": "True", "message": ""}]
    assert not goes_back(world)
    world.status["conditions"] = []
    assert not goes_back(world, seconds=60)
    assert goes_back(world, seconds=700)


def test_a_preflight_of_which_nothing_comes_hangs_as_well_and_changes_nothing() -> None:
    world = a_world(upgrade={"onFailure": "BackOut"})
    world.tick()
    for _ in range(3):
        cluster = world.cluster
        cluster.status.upgrade.findings = None  # type: ignore[union-attr]
        world.status = cluster.status.manifest()
        found = world.tick(seconds=500)
    assert found.stuck
    assert world.steps == ["Preflight"]
    assert found.holds


def test_what_was_blocked_for_long_is_not_late_once_that_is_mended() -> None:
    world = a_world()
    world.findings = (ERROR,)
    for _ in range(3):
        assert not world.tick(seconds=3600).stuck, "it is blocked, which is told as such"
    cluster = world.cluster
    cluster.status.upgrade.findings = None  # type: ignore[union-attr]
    world.status = cluster.status.manifest()
    assert not world.tick(seconds=60).stuck


def test_an_addon_that_was_sick_before_does_not_hold_up_the_way_back() -> None:
    world = a_world()
    sick = {"check": "AddonHealth", "severity": "Warning", "object": "coredns", "message": "sick"}
    world.findings = (UpgradeFinding.model_validate(sick),)
    world.broken = {NEW}
    world.settle(8)
    world.spec["version"] = OLD
    found = world.tick()
    assert found.status is not None
    assert found.status.backing_out
    assert [f.object for f in found.status.findings or ()] == ["coredns"]


def test_another_version_in_the_spec_is_tried_after_one_that_was_taken_back() -> None:
    world = a_world(to="1.37.0", upgrade={"onFailure": "BackOut"})
    world.broken = {"1.37.0"}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    world.spec["version"] = NEW
    world.settle()
    assert world.parsed.version == NEW


def test_the_spec_may_go_back_while_the_new_version_hangs() -> None:
    world = a_world()
    world.broken = {NEW}
    world.settle(8)
    world.spec["version"] = OLD
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    assert world.parsed.upgrade is None
    assert world.parsed.version == OLD


def test_no_way_back_once_all_api_servers_have_been_at_the_minor() -> None:
    world = a_world()
    world.settle()
    assert world.parsed.lowest_version == NEW
    world.spec["version"] = OLD
    found = world.tick()
    assert found.refused is not None
    assert "EtcdRestore" in found.refused
    world.settle(5)
    assert world.components == dict.fromkeys(COMPONENTS, NEW)


def test_patch_levels_go_both_ways() -> None:
    world = a_world(to="1.36.3")
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, "1.36.3")
    assert world.parsed.upgrade is None
    assert world.parsed.lowest_version == OLD


def test_what_a_fleet_raised_counts_while_the_spec_is_behind() -> None:
    world = a_world(to=OLD)
    raised = {"to": NEW, "by": "team-a/june", "at": "2026-11-22T11:00:00Z"}
    world.status["raised"] = raised
    world.settle()
    assert world.parsed.version == NEW


def test_a_hibernating_cluster_is_left_alone() -> None:
    world = a_world(hibernate=True)
    assert world.tick().status is None


@pytest.mark.parametrize("after", range(12))
def test_an_operator_that_dies_after_any_pass_goes_on_where_it_was(after: int) -> None:
    world = a_world(etcd={"backup": STORE})
    for turn in range(60):
        world.tick(dies=turn == after)
        world.go()
    assert world.steps == ["Preflight", "Backup", "APIServer", "Controllers", "Addons"]
    assert world.parsed.version == NEW
    assert world.ended == ["Done"]


EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["go", "die", "wait", "break", "mend", "block", "pass", "retry"]),
        st.sampled_from(["1.35.4", "1.36.3", "1.36.4", "1.37.0", "1.37.1"]),
    ),
    max_size=40,
)


@given(EVENTS, st.sampled_from(["Halt", "BackOut"]))
@settings(max_examples=300, deadline=None)
def test_no_component_is_ever_newer_than_an_api_server_or_skips_a_minor(
    events: list[str], on_failure: str
) -> None:
    world = a_world(
        to="1.35.4", running="1.35.4", upgrade={"chained": True, "onFailure": on_failure}
    )
    floor = versions.parse("1.35.4").line
    for event in events:
        _happen(world, event)
        before = dict(world.components)
        servers = {before[API_SERVER]}
        world.tick(seconds=700 if event == "wait" else 1, dies=event == "die")
        servers.add(world.components[API_SERVER])
        oldest = min(versions.parse(v) for v in servers)
        for name in COMPONENTS:
            now, then = versions.parse(world.components[name]), versions.parse(before[name])
            assert abs(now.minor - then.minor) <= 1
            if now > then and name != API_SERVER:
                assert now <= oldest, f"{name} went to {now} with API servers of {servers}"
        if API_SERVER not in world.rolling:
            floor = max(floor, versions.parse(world.components[API_SERVER]).line)
        assert versions.parse(world.components[API_SERVER]).line >= floor
    world.broken, world.findings = set(), ()
    world.annotations = {"kok.dev/upgrade-retry": "at last"}
    world.settle(80)
    asked = versions.parse(world.spec["version"])
    if asked.line >= floor:
        assert world.parsed.version == str(asked), world.status


def _happen(world: World, event: str) -> None:
    if event == "go":
        world.go()
    elif event == "break":
        world.broken = {"1.36.4", "1.37.1"}
    elif event == "mend":
        world.broken = set()
    elif event == "block":
        world.findings = (ERROR,)
    elif event == "pass":
        world.findings = ()
    elif event == "retry":
        world.annotations = {"kok.dev/upgrade-retry": str(world.now)}
    elif event.startswith("1."):
        world.spec["version"] = event
