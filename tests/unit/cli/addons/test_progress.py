"""What is told of addons that are followed, and when that ends."""

from __future__ import annotations

from typing import Any

from kok.cli.addons.progress import Awaited, Progress
from kok.kube.watch import WatchEvent

SYNCED = WatchEvent("SYNCED", {})


def addon(name: str, ready: str = "", message: str = "", **parts: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"observedGeneration": parts.pop("seen", 1), "version": "v1"}
    if ready:
        told = "True" if ready in {"AsWanted", "WaitingForNodes"} else "False"
        one = {"type": "Ready", "status": told, "reason": ready, "message": message}
        status["conditions"] = [{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    meta = {"name": name, "namespace": "ns", "generation": 1, **parts.pop("metadata", {})}
    spec = {"cluster": "demo", "source": {"builtin": "coredns"}, **parts}
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Addon",
        "metadata": meta,
        "spec": spec,
        "status": status,
    }


def following(*awaited: Awaited) -> tuple[Progress, list[str]]:
    told: list[str] = []
    return Progress(awaited, told.append), told


def test_several_are_told_of_side_by_side_until_each_is_ready() -> None:
    progress, told = following(Awaited("a", "demo-a"), Awaited("b", "demo-b"))
    progress.take(WatchEvent("ADDED", addon("demo-a", "NotHealthy", "0/1")))
    progress.take(WatchEvent("ADDED", addon("somebody", "AsWanted")))
    progress.take(SYNCED)
    progress.take(WatchEvent("MODIFIED", addon("demo-a", "NotHealthy", "0/1")))
    progress.take(WatchEvent("ADDED", addon("demo-b", "WaitingForNodes", "wait")))
    assert progress.left == ["a"]
    progress.take(WatchEvent("MODIFIED", addon("demo-a", "AsWanted", "fine")))
    assert told == [
        "a: NotHealthy: 0/1",
        "b: the cluster operator has not made it yet",
        "b: Ready v1: wait",
        "a: Ready v1: fine",
    ]
    assert (progress.left, progress.failed) == ([], [])


def test_what_it_said_of_other_values_or_an_earlier_spec_counts_for_nothing() -> None:
    awaited = Awaited("a", "demo-a", values={"replicas": 3}, generation=2)
    progress, told = following(awaited)
    ready = {"ready": "AsWanted", "message": "fine"}
    for one in (
        addon("demo-a", **ready, values={"replicas": 2}, metadata={"generation": 2}, seen=2),
        addon("demo-a", **ready, values={"replicas": 3}, metadata={"generation": 2}, seen=1),
        addon("demo-a", **ready, values={"replicas": 3}, metadata={"generation": 1}, seen=1),
    ):
        progress.take(WatchEvent("MODIFIED", one))
    assert told == ["a: the cluster operator has yet to see what was written"]
    values = {"replicas": 3, "server": {"host": "x"}, "none": None}
    last = addon("demo-a", **ready, values=values, metadata={"generation": 2}, seen=2)
    progress.take(WatchEvent("MODIFIED", last))
    assert progress.left == []


def test_one_that_only_its_author_can_mend_fails_and_the_others_go_on() -> None:
    progress, told = following(Awaited("a", "demo-a"), Awaited("b", "demo-b"))
    progress.take(WatchEvent("ADDED", addon("demo-a", "ValuesInvalid", "values.x: no")))
    assert (progress.left, progress.failed) == (["b"], ["a"])
    assert told == ["a: ValuesInvalid: values.x: no"]


def test_one_that_is_to_be_gone_is_told_of_until_it_is() -> None:
    progress, told = following(Awaited("a", "demo-a", gone=True), Awaited("b", "b", gone=True))
    progress.take(WatchEvent("ADDED", addon("demo-a", "AsWanted")))
    progress.take(SYNCED)
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    waiting = addon("demo-a", "DeletingAddons", "waiting for ConfigMap x to go", metadata=going)
    progress.take(WatchEvent("MODIFIED", waiting))
    progress.take(WatchEvent("DELETED", {"metadata": {"name": "demo-a"}}))
    assert told == [
        "a: the cluster operator has yet to see what was written",
        "b: gone",
        "a: DeletingAddons: waiting for ConfigMap x to go",
        "a: gone",
    ]
    assert not progress.left


def test_one_that_goes_before_it_comes_is_waited_for() -> None:
    progress, _ = following(Awaited("a", "demo-a"))
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    progress.take(WatchEvent("ADDED", addon("demo-a", "AsWanted", metadata=going)))
    progress.take(WatchEvent("DELETED", addon("demo-a")))
    assert progress.left == ["a"]
    progress.take(WatchEvent("ADDED", addon("demo-a", "AsWanted")))
    assert not progress.left


def test_one_that_cannot_be_read_fails() -> None:
    progress, told = following(Awaited("a", "demo-a"))
    progress.take(WatchEvent("ADDED", {**addon("demo-a"), "spec": {"cluster": 7}}))
    assert progress.failed == ["a"]
    assert "demo-a" in told[0]
