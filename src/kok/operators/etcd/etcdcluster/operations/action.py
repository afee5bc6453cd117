"""What is to be done next about the members, as a value: decisions make it, the engine does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.etcdclient.client import EtcdClient
from kok.operators.etcd.etcdcluster.observed import World
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations import action as operations

SOON = 0.3
"""Seconds until the next look while an operation is under way: etcd tells of nothing by itself."""
AT_ONCE = 0.05
State = Literal["Joining", "Member", "Leaving", "Left"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a call gets to work with."""

    p: Pass[EtcdCluster]
    obj: EtcdCluster
    world: World
    client: EtcdClient


class Call(operations.Call[Context], Protocol):
    """One change to etcd or to a child. It may have been made before, with the answer lost."""

    async def run(self, context: Context) -> None:
        """Makes it. Raises `EtcdError` (the next pass looks again) or `KubeError`."""
        ...


@dataclass(frozen=True, slots=True)
class Action(operations.Action[EtcdOperation, Context]):
    """What to do now.

    `states` names only members whose state changes, and is recorded with the operation; a name that
    the status does not have is a new member's.
    """

    states: Mapping[str, State] = field(default_factory=dict)
