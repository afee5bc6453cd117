"""Hosts that are nodes already: which are taken over, what stays as it is there, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.views import (
    ACCESS,
    CA,
    CONNECTED,
    MEMBER,
    NODE,
    installed,
    machine_view,
    observed,
    seen,
)

from kok import pki
from kok.api.machine.machine import Machine
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations import adopted
from kok.operators.machine.machine.operations.adoption import Adopt
from kok.operators.machine.machine.operations.host_steps import (
    Install,
    JoinCluster,
    Reclaim,
    Step,
    TakeTokenBack,
)
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.survey import Found, Owner

KUBEADM = replace(NODE, kubelet="1.36.2", runtime="containerd://2.1.0")
"""A Node that kubeadm made, with older software than is declared."""


def adopting(**spec: Any) -> Machine:
    return builders.machine(**{"adopt": True, "onRemove": "Release", **spec})


def as_kubeadm_left_it(**survey: Any) -> HostMemory:
    """What is seen of a host that was never ours."""
    given: dict[str, Any] = {
        "identity": MEMBER,
        "units": frozenset({"containerd", "kubelet"}),
        "ports": frozenset({10250, 10248}),
        **survey,
    }
    return seen(adopting(), complete=False, mine=False, **given)


def looked_at(machine: Machine | None = None, **changes: Any) -> MachineView:
    given = {"memory": as_kubeadm_left_it(), "objects": observed(node=KUBEADM), **changes}
    return machine_view(machine or adopting(), **given)


def after(view: MachineView, **machine: Any) -> MachineView:
    """The same host once it was adopted, with another spec if one is given."""
    call = decide.decide(view).step.call
    assert isinstance(call, Adopt)
    survey = view.memory.survey
    assert survey
    made = adopting(**machine)
    found = {home.name: Found(recorded=adopted.MARK, begun=True) for home in call.homes}
    marked = replace(survey, found=found, owner=Owner(uid=made.metadata.uid))
    memory = replace(view.memory, survey=marked)
    status = view.status.model_copy(update={"adopted": call.adoption})
    return replace(view, machine=made, memory=memory, status=status)


def refused(view: MachineView) -> tuple[str, str]:
    step = decide.decide(view).step
    assert step.call is None
    assert step.refusal
    return step.refusal.reason, step.refusal.message


def test_a_node_of_this_cluster_is_recorded_with_what_differs_and_nothing_is_installed() -> None:
    call = decide.decide(looked_at()).step.call
    assert isinstance(call, Adopt)
    found = call.adoption
    assert (found.kubelet, found.runtime, found.node_uid) == ("1.36.2", "containerd://2.1.0", "n")
    told = {c.name: c.differs for c in found.components}
    assert set(told) == set(builders.VERSIONS)
    assert told["kubelet"][0] == "version 1.36.2 is there in place of 1.37.1"
    assert told["containerd"][0] == "version 2.1.0 is there in place of 2.3.7"
    # What is taken away last was there first.
    order = [home.name for home in call.homes]
    assert order.index("containerd") < order.index("kubelet")


def test_what_was_adopted_serves_as_it_is_and_the_plan_says_what_would_change_it() -> None:
    status, conditions = shown(after(looked_at()))
    assert conditions["Ready"] == ("True", "NodeReady")
    assert conditions["UpToDate"] == ("True", "Adopted")
    assert "kubelet: version 1.36.2 is there in place of 1.37.1" in message(status, "UpToDate")
    assert {c.state for c in status.components} == {"Adopted"}
    assert {s.component for s in status.plan} == set(builders.VERSIONS)
    assert decide.decide(after(looked_at())).step == Step()


def test_before_it_is_adopted_it_counts_as_no_node_of_ours() -> None:
    _, conditions = shown(looked_at())
    assert conditions["Ready"][0] == "False"
    assert conditions["ComponentsReady"] == ("Unknown", "Adopting")


def test_an_adoption_that_was_recorded_and_not_made_is_made_with_the_same_record() -> None:
    first = decide.decide(looked_at()).step.call
    assert isinstance(first, Adopt)
    again = looked_at(now=NOW + timedelta(minutes=1))
    again = replace(again, status=again.status.model_copy(update={"adopted": first.adoption}))
    # Unmarked: found out anew.
    assert isinstance(decide.decide(again).step.call, Adopt)
    # Marked, and nothing beside the mark.
    done = after(looked_at())
    assert done.memory.survey
    bare = replace(done.memory, survey=replace(done.memory.survey, found={}))
    half = decide.decide(replace(done, memory=bare)).step.call
    assert isinstance(half, Adopt)
    assert half.adoption == first.adoption
    assert {h.name for h in half.homes} == set(builders.VERSIONS)


def test_a_change_of_one_component_changes_that_one_alone() -> None:
    listed = [{"name": n, "version": v} for n, v in builders.VERSIONS.items()]
    changed: list[dict[str, Any]] = [
        {**c, "params": {"config": {"maxPods": 50}}} if c["name"] == "kubelet" else c
        for c in listed
    ]
    view = after(looked_at(), components=changed)
    step = decide.decide(view).step
    assert isinstance(step.call, Install)
    assert [plan.component for plan in step.call.plans] == ["kubelet"]
    status, _ = shown(view)
    states = {c.name: c.state for c in status.components}
    assert states.pop("kubelet") in ("Waiting", "Installing")
    assert set(states.values()) == {"Adopted"}


def test_what_was_changed_once_is_ours_whatever_the_spec_goes_back_to() -> None:
    view = after(looked_at())
    assert view.memory.survey
    found = {**view.memory.survey.found, "kubelet": Found(begun=True)}
    begun = replace(
        view, memory=replace(view.memory, survey=replace(view.memory.survey, found=found))
    )
    assert adopted.held(begun) == {*builders.VERSIONS} - {"kubelet"}
    step = decide.decide(begun).step
    assert isinstance(step.call, Install)
    assert [plan.component for plan in step.call.plans] == ["kubelet"]
    status, _ = shown(begun)
    assert status.adopted
    assert "kubelet" not in {c.name for c in status.adopted.components}


def test_without_adopt_it_gets_what_the_spec_says() -> None:
    view = after(looked_at(), adopt=False)
    served = view.status.model_copy(update={"first_ready": None})
    step = decide.decide(replace(view, status=served)).step
    assert isinstance(step.call, Install)
    assert {plan.component for plan in step.call.plans} == set(builders.VERSIONS)


def test_an_older_minor_of_the_kubelet_is_no_reason_to_drain_until_the_spec_changes() -> None:
    served = {"firstReady": "2026-11-02T11:00:00Z"}
    view = after(looked_at(status=served))
    assert decide.decide(view).step == Step()
    newer = [
        {"name": n, "version": v} for n, v in {**builders.VERSIONS, "kubelet": "1.37.0"}.items()
    ]
    moved = after(looked_at(status=served), components=newer)
    moved = replace(moved, objects=replace(moved.objects, components={}))
    # By what is recorded alone, as right after a restart of the operator.
    assert adopted.kept(moved.machine, moved.status) == {*builders.VERSIONS} - {"kubelet"}


def test_another_way_to_the_api_stays_until_the_cluster_moves() -> None:
    own = replace(MEMBER, server="https://lb.example:6443", ca="0" * 64)
    view = after(looked_at(memory=as_kubeadm_left_it(identity=own)))
    assert decide.decide(view).step == Step()
    assert decide.decide(view).joining == "-"
    moved = replace(ACCESS, server="https://192.0.2.11:31443")
    # Its API and with it what nodes of KOK go by has changed.
    there = replace(view, objects=replace(view.objects, endpoint=moved))
    assert isinstance(decide.decide(there).step.call, JoinCluster)


def test_a_token_that_kubeadm_left_is_none_of_ours() -> None:
    left = after(looked_at(memory=as_kubeadm_left_it(identity=replace(MEMBER, bootstrap=True))))
    assert decide.decide(left).step == Step()
    ours = replace(left, status=left.status.model_copy(update={"token_id": "abcdef"}))
    assert decide.decide(ours).step == Step(TakeTokenBack())


OTHER = pki.new_ca("blog", NOW)


def of(authority: pki.CA, name: str = "w1", days: float = 365) -> str:
    spec = pki.LeafSpec(f"system:node:{name}", ["system:nodes"])
    return pki.issue(authority, spec, NOW - timedelta(days=365 - days)).cert_pem.decode()


@pytest.mark.parametrize(
    ("identity", "node", "reason", "words"),
    [
        ({"certificate": of(OTHER)}, {}, "JoinedElsewhere", "`kubeadm reset`"),
        ({"certificate": of(CA, "other")}, {}, "AdoptionRefused", "it is node other"),
        ({"kubelet": "inactive"}, {}, "AdoptionRefused", "enable --now kubelet"),
        ({"ca": ""}, {}, "AdoptionRefused", "/etc/kubernetes/pki/ca.crt"),
        ({}, {"machine_id": "e" * 32}, "AdoptionRefused", "is another host"),
        ({}, {"ready": False, "message": "no CNI"}, "AdoptionRefused", "not Ready: no CNI"),
        ({}, {"runtime": "docker://29.0"}, "AdoptionRefused", "runtime: {type: docker}"),
        ({}, {"runtime": "cri-o://1.36"}, "AdoptionRefused", "cri-o"),
    ],
)
def test_what_is_not_this_node_is_left_alone_with_a_sentence(
    identity: dict[str, Any], node: dict[str, Any], reason: str, words: str
) -> None:
    view = looked_at(
        memory=as_kubeadm_left_it(identity=replace(MEMBER, **identity)),
        objects=observed(node=replace(KUBEADM, **node)),
    )
    said, text = refused(view)
    assert said == reason
    assert words in text
    _, conditions = shown(view)
    assert conditions["PreflightPassed"] == ("False", reason)
    assert conditions["Ready"] == ("False", reason)


def test_a_clone_with_the_same_machine_id_is_told_by_its_system_uuid() -> None:
    memory = as_kubeadm_left_it(facts={"systemUUID": "AAAA-1"})
    same = observed(node=replace(KUBEADM, system_uuid="aaaa-1"))
    assert isinstance(decide.decide(looked_at(memory=memory, objects=same)).step.call, Adopt)
    other = observed(node=replace(KUBEADM, system_uuid="aaaa-2"))
    assert refused(looked_at(memory=memory, objects=other))[0] == "AdoptionRefused"


def test_while_the_cluster_says_nothing_of_its_nodes_nothing_is_done() -> None:
    silent = replace(CONNECTED, answers=False, nodes_known=False)
    view = looked_at(objects=observed(connection=silent))
    assert refused(view)[0] == "Adopting"
    _, conditions = shown(view)
    assert conditions["PreflightPassed"] == ("Unknown", "Adopting")


def test_no_node_of_that_name_is_no_adoption() -> None:
    assert "there is no Node w1" in refused(looked_at(objects=observed(node=None)))[1]


def test_a_bare_host_of_the_same_kubenode_is_installed() -> None:
    bare = seen(adopting(), complete=False, mine=False)
    step = decide.decide(looked_at(memory=bare, objects=observed())).step
    assert isinstance(step.call, Install)


def test_a_host_that_was_reinstalled_since_is_made_a_node_like_any_other() -> None:
    adoption = after(looked_at()).status.adopted
    bare = seen(adopting(), complete=False, mine=False)
    view = looked_at(memory=bare, objects=observed())
    view = replace(view, status=view.status.model_copy(update={"adopted": adoption}))
    assert isinstance(decide.decide(view).step.call, Install)


def test_who_did_not_ask_for_it_is_told_how_to() -> None:
    plain = builders.machine()
    memory = replace(as_kubeadm_left_it(), asked=seen(plain).asked)
    reason, text = refused(machine_view(plain, memory=memory, objects=observed(node=KUBEADM)))
    assert reason == "PreflightFailed"
    assert "adopt: true" in text
    other = as_kubeadm_left_it(identity=replace(MEMBER, certificate=of(OTHER)))
    memory = replace(other, asked=memory.asked)
    _, text = refused(machine_view(plain, memory=memory, objects=observed(node=KUBEADM)))
    assert "adopt: true" not in text
    assert "remove it with its configuration first" in text


def test_the_mark_of_a_machine_that_is_gone_is_replaced_and_nothing_is_cleaned_up() -> None:
    gone = Owner(uid="uid-gone", machine="team-a/gone", installation="meta-1")
    memory = as_kubeadm_left_it()
    assert memory.survey
    memory = replace(memory, survey=replace(memory.survey, owner=gone))
    there = observed(node=KUBEADM, left_behind=True)
    call = decide.decide(looked_at(memory=memory, objects=there)).step.call
    assert isinstance(call, Adopt)
    assert call.replaces == "uid-gone"
    alive = observed(node=KUBEADM)
    assert refused(looked_at(memory=memory, objects=alive))[0] == "HostInUse"
    plain = builders.machine()
    cleaned = machine_view(plain, memory=replace(memory, asked=seen(plain).asked), objects=there)
    assert isinstance(decide.decide(cleaned).step.call, Reclaim)


def test_what_is_right_already_is_no_difference() -> None:
    memory = as_kubeadm_left_it()
    assert memory.survey
    whole = installed(adopting(), memory.survey)
    found = {"runc": whole["runc"]}
    memory = replace(memory, survey=replace(memory.survey, found=found))
    call = decide.decide(looked_at(memory=memory)).step.call
    assert isinstance(call, Adopt)
    assert "runc" not in {c.name for c in call.adoption.components}


def test_what_was_adopted_is_neither_watched_nor_remedied() -> None:
    decision = decide.decide(after(looked_at()))
    assert not decision.ours
    listed = [{"name": n, "version": v} for n, v in {**builders.VERSIONS, "runc": "1.3.0"}.items()]
    assert set(decide.decide(after(looked_at(), components=listed)).ours) <= {"runc"}
