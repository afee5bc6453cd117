"""An Addon is for one Cluster or for many, for good: each pass goes to who looks after that."""

from __future__ import annotations

from kok.api.cluster.addon import Addon
from kok.operators.cluster.addon.many.reconcile import ManyAddonsReconciler
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.runtime.controller.reconciler import Done, Key, Pass, Result


class AddonsReconciler:
    """Keeps all Addons."""

    model = Addon

    def __init__(self, one: AddonReconciler, many: ManyAddonsReconciler) -> None:
        self._one, self._many = one, many
        self.wakes_on = (*one.wakes_on, *many.wakes_on)

    async def reconcile(self, p: Pass[Addon]) -> Result:
        """One pass."""
        return await self._of(p.obj).reconcile(p)

    async def finalize(self, p: Pass[Addon]) -> Result | Done:
        """One pass of the clean-up."""
        return await self._of(p.obj).finalize(p)

    def forget(self, key: Key, uid: str) -> None:
        """Both let go of it: another one of its name may be of the other sort."""
        self._one.forget(key, uid)
        self._many.forget(key, uid)

    def _of(self, addon: Addon) -> AddonReconciler | ManyAddonsReconciler:
        return self._one if addon.spec.clusters is None else self._many
