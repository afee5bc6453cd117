"""An upgrade goes through its steps in order, whatever happens to the operator and to the spec."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.cluster.builders import (
    NOW,
)
from tests.unit.operators.cluster.cluster.operations.upgrade_world import (
    ERROR,
    NEW,
    OLD,
    STORE,
    World,
    a_world,
)

from kok import versions
from kok.operators.cluster.cluster.decide import decide
from kok.operators.cluster.cluster.observe import BackupSeen
from kok.operators.cluster.cluster.operations import upgrade_gates
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.naming import API_SERVER, COMPONENTS
from kok.runtime.policy import Policies


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


@pytest.mark.parametrize("addons", ["1.34.4", None], ids=["with addons", "without any"])
def test_a_chain_goes_through_each_minor(addons: str | None) -> None:
    world = a_world(to="1.37.1", running="1.34.4", upgrade={"chained": True})
    world.addons = addons
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
    assert upgrade_gates.too_old(world.cluster, "1.38.0") == {"1.34.4": 1}


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
