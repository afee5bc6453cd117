"""Keeping new pods away from a node, and letting them in again if it was we who kept them away.

That it was stands on the Node itself and changes in the very write that cordons or uncordons it: no
death in between leaves a node cordoned of which nobody knows by whom. Both writes name the version of
the Node that was looked at, so that what a person does meanwhile is seen before and not undone.
"""

from __future__ import annotations

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_CORDONED_BY
from kok.operators.machine.node.nodes import NodeView


def cordon(node: NodeView, machine: str) -> Manifest:
    """The merge patch that cordons a Node in the name of a Machine (`namespace/name`)."""
    return _patch(node, unschedulable=True, by=machine)


def uncordon(node: NodeView) -> Manifest:
    """The merge patch that takes that back."""
    return _patch(node, unschedulable=None, by=None)


def _patch(node: NodeView, *, unschedulable: bool | None, by: str | None) -> Manifest:
    return {
        "metadata": {
            "uid": node.uid,
            "resourceVersion": node.version,
            "annotations": {ANNOTATION_CORDONED_BY: by},
        },
        "spec": {"unschedulable": unschedulable},
    }
