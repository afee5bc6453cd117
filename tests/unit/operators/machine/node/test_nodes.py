"""What matters of a Node, and how its labels and taints are changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kok.api.fields import Taint
from kok.api.meta import Manifest
from kok.operators.machine.node import nodes


def node(
    labels: dict[str, str] | None = None,
    taints: Sequence[dict[str, str]] = (),
    **status: Any,
) -> Manifest:
    meta: dict[str, Any] = {
        "name": "w1",
        "uid": "u",
        "resourceVersion": "7",
        "labels": labels or {},
    }
    return {"metadata": meta, "spec": {"taints": list(taints)}, "status": status}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    return Taint(key=key, effect=effect, value=value)  # type: ignore[arg-type] # any text here


def merged(live: Manifest, patch: Manifest | None) -> Manifest:
    """What the API server makes of a merge patch."""

    def merge(old: Any, new: Any) -> Any:
        if not isinstance(new, dict):
            return new
        out = dict(old) if isinstance(old, dict) else {}
        for key, value in new.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = merge(out.get(key), value)
        return out

    result: Manifest = merge(live, patch or {})
    return result


def test_labels_and_taints_are_set_and_what_others_set_stays() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    live = node({"kubernetes.io/os": "linux"}, [theirs])
    wanted = {"tier": "gold"}, [taint("dedicated", value="shop")]
    patch = nodes.patch(nodes.view(live), *wanted, None)
    after = merged(live, patch)
    assert after["metadata"]["labels"] == {"kubernetes.io/os": "linux", "tier": "gold"}
    assert after["spec"]["taints"] == [
        theirs,
        {"key": "dedicated", "value": "shop", "effect": "NoSchedule"},
    ]
    # A list made from an old one must not overwrite what others changed meanwhile.
    assert patch
    assert patch["metadata"]["resourceVersion"] == "7"
    assert nodes.patch(nodes.view(after), *wanted, nodes.marks(*wanted)) is None


def test_what_is_no_longer_wanted_goes_and_only_that() -> None:
    live = node({"mine": "1"})
    first = {"a": "1", "b": "2"}, [taint("x"), taint("y")]
    live = merged(live, nodes.patch(nodes.view(live), *first, None))
    live = merged(
        live, nodes.patch(nodes.view(live), {"a": "3"}, [taint("y")], nodes.marks(*first))
    )
    assert live["metadata"]["labels"] == {"mine": "1", "a": "3"}
    assert [t["key"] for t in live["spec"]["taints"]] == ["y"]


def test_nothing_wanted_and_nothing_set_is_no_change() -> None:
    assert nodes.patch(nodes.view(node()), {}, [], None) is None
    assert nodes.marks({}, []) is None


def test_a_kubelet_cannot_have_taken_away_what_it_may_not_change_itself() -> None:
    """It may write what it likes into its own Node, annotations included."""
    live = node({"team": "a"}, [{"key": "dedicated", "effect": "NoSchedule"}])
    note = '{"labels":["team"],"taints":[["dedicated","NoSchedule"]]}'
    live["metadata"]["annotations"] = {"kok.dev/set": note}
    assert nodes.patch(nodes.view(live), {}, [], None) is None


_labels = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"))
_taints = st.lists(st.sampled_from("xyz"), unique=True).map(lambda keys: [taint(k) for k in keys])


@given(_labels, st.lists(st.tuples(_labels, _taints), min_size=1, max_size=4))
def test_any_sequence_of_wishes_ends_in_the_last_one(
    theirs: dict[str, str], wishes: list[tuple[dict[str, str], list[Taint]]]
) -> None:
    live = node({f"their-{key}": value for key, value in theirs.items()})
    marks = None
    for labels, taints in wishes:
        live = merged(live, nodes.patch(nodes.view(live), labels, taints, marks))
        marks = nodes.marks(labels, taints)
        assert nodes.patch(nodes.view(live), labels, taints, marks) is None
    labels, taints = wishes[-1]
    own = {k: v for k, v in live["metadata"]["labels"].items() if not k.startswith("their-")}
    assert own == labels
    assert {t["key"] for t in live["spec"]["taints"]} == {t.key for t in taints}
    assert len(live["metadata"]["labels"]) == len(own) + len(theirs)


def test_a_heartbeat_is_no_change_worth_a_pass() -> None:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}
    one = nodes.view(node(conditions=[condition]))
    later = node(conditions=[{**condition, "lastHeartbeatTime": "2"}])
    later["metadata"]["resourceVersion"] = "8"
    assert nodes.gist(one) == nodes.gist(nodes.view(later))
    gone = node(conditions=[{**condition, "status": "Unknown"}])
    assert nodes.gist(one) != nodes.gist(nodes.view(gone))


def test_of_a_node_that_tells_too_much_the_beginning_is_kept() -> None:
    told = node(conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": "x" * 10**6}])
    told["metadata"]["labels"] = {f"{number:x}": "" for number in range(100_000)}
    told["spec"] = {"taints": [{"key": str(n), "effect": "NoExecute"} for n in range(10_000)]}
    seen = nodes.view(told)
    assert seen.size < 2**18
    assert len(seen.heard) < 100
    assert seen.labels["1"] == ""
    assert (seen.bare().name, seen.bare().ready, seen.bare().labels) == (seen.name, True, {})
    assert seen.bare().size < 1000


def test_since_when_a_node_has_been_cordoned_is_known_without_a_gap() -> None:
    def seen(version: str, *, cordoned: bool, uid: str = "u") -> Manifest:
        meta = {"name": "w1", "uid": uid, "resourceVersion": version}
        return {"metadata": meta, "spec": {"unschedulable": cordoned}}

    first = nodes.view(seen("1", cordoned=True))
    same = nodes.view(seen("2", cordoned=True), first)
    assert (first.closed, same.closed) == ("1", "1")
    let_in = nodes.view(seen("3", cordoned=False), same)
    again = nodes.view(seen("4", cordoned=True), let_in)
    assert (let_in.closed, again.closed) == ("", "4")
    another = nodes.view(seen("5", cordoned=True, uid="v"), again)
    assert another.closed == "5"
    # Of what was not followed anything may be true, but for a Node that is the very same.
    assert nodes.after_gap(nodes.view(seen("6", cordoned=True, uid="v"), another)).closed == "6"
    assert nodes.after_gap(another).closed == "5"
    assert not nodes.after_gap(let_in).closed
