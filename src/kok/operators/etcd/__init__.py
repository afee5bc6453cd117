"""The etcd operator: one EtcdCluster, one etcd cluster of pods with volumes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kok.runtime.controller.reconciler import OperatorSpec
    from kok.runtime.settings import Settings

__all__ = ["operator"]


def operator(settings: Settings) -> OperatorSpec:
    """The etcd operator; all its settings are the runtime's."""
    # Imported only here: the worker of backups lives in this package and needs nothing of this.
    from kok.operators.etcd import handlers  # noqa: PLC0415

    return handlers.operator(settings)
