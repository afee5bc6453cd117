"""Who is told to fetch beforehand what comes."""

from __future__ import annotations

from tests.unit.operators.machine.kubenode.rollout.fleet import Fleet

NOTE = "kok.dev/prefetch"


def test_hosts_of_the_next_batch_are_told_what_they_will_need() -> None:
    fleet = Fleet(wanted="1.37.2", policy={"batch": 2, "maxUnavailable": 2})
    fleet.passes()
    assert fleet.found
    notes = {n: m["metadata"].get("annotations", {}) for n, m in fleet.found.machines.items()}
    told = {name: note[NOTE] for name, note in notes.items() if NOTE in note}
    assert told == {"w2": "kubelet-1.37.2", "w3": "kubelet-1.37.2"}


def test_nobody_fetches_what_was_called_off() -> None:
    fleet = Fleet(wanted="1.37.2", policy={"onFailure": "Rollback"})
    fleet.passes()
    fleet.places["w1"].fails()
    fleet.passes()
    fleet.after(30)
    fleet.passes()
    assert fleet.found
    assert all(
        NOTE not in m["metadata"].get("annotations", {}) for m in fleet.found.machines.values()
    )
