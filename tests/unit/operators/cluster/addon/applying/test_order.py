"""In which order an addon's objects are applied, and in which they go."""

from __future__ import annotations

from typing import Any

import pytest

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Manifest
from kok.operators.cluster.addon.applying.order import removal_steps, steps, wave_of
from kok.runtime.controller.errors import Invalid


def an_object(kind: str, name: str, wave: object = None, **meta: Any) -> Manifest:
    notes = {} if wave is None else {"annotations": {"kok.dev/wave": wave}}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **notes, **meta}}


def named(manifests: list[Manifest]) -> list[list[str]]:
    return [[m["metadata"]["name"] for m in step.manifests] for step in steps(manifests)]


def test_what_others_need_comes_first_and_what_is_asked_comes_last() -> None:
    given = [
        an_object("ValidatingWebhookConfiguration", "hook"),
        an_object("Deployment", "app"),
        an_object("Thing", "thing"),
        an_object("CustomResourceDefinition", "things"),
        an_object("Namespace", "home"),
    ]
    assert named(given) == [["things", "home"], ["app", "thing"], ["hook"]]
    assert [step.needed for step in steps(given)] == [True, False, False]


def test_waves_go_from_the_lowest_to_the_highest() -> None:
    given = [
        an_object("Deployment", "late", "5"),
        an_object("Deployment", "usual"),
        an_object("ConfigMap", "early", "-1"),
        an_object("CustomResourceDefinition", "things"),
        an_object("CustomResourceDefinition", "others", "5"),
    ]
    assert named(given) == [["things"], ["early"], ["usual"], ["others"], ["late"]]


@pytest.mark.parametrize("wave", ["soon", "1.5", "1001", "-1001", "", "9" * 100])
def test_what_is_no_wave_is_refused_with_the_object(wave: str) -> None:
    with pytest.raises(Invalid, match=r"Deployment app: annotation kok.dev/wave must be a whole"):
        wave_of(an_object("Deployment", "app", wave))


def test_annotations_that_are_no_map_are_refused() -> None:
    with pytest.raises(Invalid, match=r"ConfigMap x: metadata.annotations must be a map"):
        wave_of(an_object("ConfigMap", "x", annotations="a"))


def an_entry(kind: str, name: str, wave: int = 0, group: str = "") -> AppliedObject:
    plural = f"{kind.lower()}s"
    return AppliedObject(group=group, version="v1", kind=kind, plural=plural, name=name, wave=wave)


def test_objects_go_the_other_way_round() -> None:
    given = [
        an_entry("Namespace", "home"),
        an_entry("CustomResourceDefinition", "things.example.com", group="apiextensions.k8s.io"),
        an_entry("Deployment", "controller", group="apps"),
        an_entry("ConfigMap", "config"),
        an_entry("Thing", "thing", group="example.com"),
        an_entry("Gateway", "gateway", group="gateway.networking.k8s.io"),
        an_entry("ValidatingWebhookConfiguration", "hook", group="admissionregistration.k8s.io"),
        an_entry("Deployment", "late", 3, group="apps"),
        an_entry("ConfigMap", "early", -2),
    ]
    assert [[one.name for one in step] for step in removal_steps(given)] == [
        ["late"],
        ["hook"],
        # Before whoever has to clean up after them.
        ["thing", "gateway"],
        ["config", "controller"],
        ["home", "things.example.com"],
        ["early"],
    ]
