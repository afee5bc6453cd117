"""Who waits for which name of an Addon."""

from __future__ import annotations

from kok.api.meta import Manifest
from kok.operators.cluster.addon.many.awaited import AwaitedNames


def an_addon(name: str, namespace: str = "team-a") -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace}}


def test_who_waits_for_a_name_is_woken_by_it_and_by_no_other() -> None:
    names = AwaitedNames()
    names.wait(("team-a", "log"), ["log-x", "log-y"])
    names.wait(("team-a", "log-x"), ["log-x"])
    assert sorted(names.of_addon(an_addon("log-x"))) == [("team-a", "log"), ("team-a", "log-x")]
    assert list(names.of_addon(an_addon("log-z"))) == []
    assert list(names.of_addon(an_addon("log-x", "team-b"))) == []


def test_nobody_is_woken_for_what_he_waits_for_no_more() -> None:
    names = AwaitedNames()
    names.wait(("team-a", "log"), ["log-x", "log-y"])
    names.wait(("team-a", "log"), ["log-y", "log-z"])
    woken = {name: list(names.of_addon(an_addon(f"log-{name}"))) for name in "xyz"}
    assert woken == {"x": [], "y": [("team-a", "log")], "z": [("team-a", "log")]}
    names.forget(("team-a", "log"))
    assert not any(list(names.of_addon(an_addon(f"log-{name}"))) for name in "xyz")
    names.forget(("team-a", "log"))
