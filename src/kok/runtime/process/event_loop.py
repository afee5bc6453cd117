"""An event loop that knows for whom it works, and for how long without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

from kok.kube.budget.cpu_shares import NAMESPACE, CpuShares, shares_of
from kok.kube.budget.cpu_time import cpu_seconds

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")


class MeteredLoop(asyncio.SelectorEventLoop):
    """Tells `kok.kube.budget.cpu_shares` what each namespace's work keeps it from."""

    def __init__(self, cpu: Callable[[], float] = cpu_seconds) -> None:
        super().__init__()
        self._cpu = cpu
        self.shares: CpuShares = shares_of(self)

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedules a callback whose processor time counts for the namespace of its context.

        Every step of every task comes by here.
        """
        namespace = NAMESPACE.get() if context is None else context.get(NAMESPACE, "")
        if not namespace:
            return super().call_soon(callback, *args, context=context)

        def metered(*args: *_Ts) -> None:
            before = self._cpu()
            try:
                callback(*args)
            finally:
                self.shares.worked(namespace, self._cpu() - before)

        return super().call_soon(metered, *args, context=context)


async def at_nobodys_expense(work: Coroutine[Any, Any, T]) -> T:
    """Does what all namespaces have a use for, whoever asked for it first."""
    context = copy_context()
    context.run(NAMESPACE.set, "")
    return await asyncio.get_running_loop().create_task(work, context=context)
