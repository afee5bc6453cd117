"""Are changes that come together told from those that come one after the other?"""

from __future__ import annotations

from typing import Any

from e2e.stories.one_at_a_time import OneAtATime


def machine(name: str, access: str, generation: int, seen: int, *, good: bool = True) -> Any:
    status = "True" if good else "False"
    conditions = [
        {"type": type_, "status": status, "observedGeneration": seen}
        for type_ in ("UpToDate", "Ready")
    ]
    return {
        "metadata": {"name": name, "generation": generation},
        "spec": {"accessHash": access, "components": []},
        "status": {"conditions": conditions},
    }


def turns(*seen: Any) -> OneAtATime:
    found = OneAtATime()
    for name in ("a", "b"):
        found.see(machine(name, "old", 1, 1))
    for one in seen:
        found.see(one)
    return found


def test_one_that_has_proven_itself_makes_room_for_the_next() -> None:
    first = (machine("a", "new", 2, 1), machine("a", "new", 2, 2, good=False))
    assert turns(*first).changing == {"a"}
    then = (*first, machine("a", "new", 2, 2), machine("b", "new", 2, 1))
    assert turns(*then).changing == {"b"}
    assert not turns(*then).over()
    assert turns(*then, machine("b", "new", 2, 2)).over()


def test_two_at_once_are_seen() -> None:
    assert turns(machine("a", "new", 2, 1), machine("b", "new", 2, 1)).changing == {"a", "b"}


def test_what_disturbs_no_node_is_nobodys_turn() -> None:
    assert not turns(machine("a", "old", 2, 1), machine("b", "old", 2, 2)).changing
