"""Who is told when a business cluster answers with more than is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.kube.errors import KubeError, TooLarge, Unreachable
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.install import unreachable_as_wait
from kok.operators.cluster.addon.context import context_of
from kok.operators.cluster.addon.render import MAX_OBJECTS, Template, render
from kok.operators.machine.node import labels_and_taints, nodes
from kok.operators.machine.node.labels_and_taints import Marking
from kok.runtime.controller.errors import Invalid, Wait


def a_node(**spec: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True"}
    return {"metadata": {"name": "w1"}, "spec": spec, "status": {"conditions": [ready]}}


def test_taints_that_are_not_all_kept_make_no_whole_node() -> None:
    taint = {"key": "x" * 500, "effect": "NoExecute"}
    assert nodes.view(a_node(taints=[taint] * 3)).whole
    assert not nodes.view(a_node(taints=[taint] * 300)).whole
    assert not nodes.view(a_node(taints=[{"key": 7}])).whole
    assert not nodes.view(a_node()).bare().whole


async def test_labels_and_taints_of_a_node_that_is_not_kept_whole_stay_as_they_are() -> None:
    nothing: Any = None
    found = nodes.view(a_node()).bare()
    assert await labels_and_taints.apply(nothing, nothing, found) == Marking()


def test_an_addon_has_so_many_objects_at_most() -> None:
    context = context_of(a_cluster(status={"endpoint": "https://192.0.2.10:31443"}))
    assert context is not None
    text = (
        "{% for n in range(values.many) %}---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c{{ n }}}\n{% endfor %}"
    )
    template = Template("inline", text)
    assert len(render([template], context, {"many": MAX_OBJECTS}, "mine")) == MAX_OBJECTS
    with pytest.raises(Invalid, match="make several Addons of them"):
        render([template], context, {"many": MAX_OBJECTS + 1}, "mine")


def test_aliases_do_not_make_many_values_of_a_short_text() -> None:
    context = context_of(a_cluster(status={"endpoint": "https://192.0.2.10:31443"}))
    assert context is not None
    text = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n"
        f"b: &b [{', '.join(['[[]]'] * 500)}]\nspec: [{', '.join(['*b'] * 500)}]\n"
    )
    with pytest.raises(Invalid, match="more than 200000 values in all; make several Addons"):
        render([Template("inline", text)], context, {}, "mine")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TooLarge("too much"), "AnswerTooLarge"),
        (Unreachable("away"), reasons.CLUSTER_UNREACHABLE),
        (KubeError(403, "Forbidden", "no"), reasons.APPLY_FAILED),
    ],
)
def test_an_addon_says_what_it_could_not_read(error: KubeError, reason: str) -> None:
    class Over:
        obj = type("Obj", (), {"namespace": "a", "spec": type("Spec", (), {"cluster": "b"})})

    over: Any = Over()
    with pytest.raises(Wait) as stop, unreachable_as_wait(over):
        raise error
    assert stop.value.reason == reason
