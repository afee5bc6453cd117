"""Clusters in a namespace that these operators do not look after: another cluster operator may.

A FleetUpgrade comes as far as its own operator does. Where that looks after some namespaces only, `*` is
these, and what is named beside them is not there for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.fixtures import clusters
from e2e.framework.environment import Environment
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.install import install
from e2e.stories.fleet import (
    ELSEWHERE,
    KIND,
    NAMESPACE,
    STAYING,
    away,
    expect,
    fleet,
    manifest,
    quotes,
    ready,
    shown,
    until_phase,
)

STRANGER, OWN, WIDE, FAR = "stranger", "own", "wide", "far"


@asynccontextmanager
async def some_namespaces(w: Environment, *namespaces: str) -> AsyncIterator[None]:
    """The operators look after these, and have rights in no others."""
    with w.report.step(f"operators for {' and '.join(namespaces)} alone"):
        await install(w.lab, w.report, watchNamespaces=list(namespaces))
    try:
        yield
    finally:
        with w.report.step("operators for all namespaces again"):
            await install(w.lab, w.report)


async def of_another_operator(w: Environment) -> None:
    """one in another operator's namespace is in no plan, and nobody raises it"""
    async with some_namespaces(w, OPERATORS, NAMESPACE):
        await w.apply(manifest(STRANGER, ELSEWHERE), fleet(OWN, ELSEWHERE))
        try:
            await _nobody_takes_it(w)
        finally:
            # Before anybody looks after it.
            await w.kube.delete(KIND, OWN, ELSEWHERE)
            await w.kube.delete(clusters.KIND, STRANGER, ELSEWHERE)
            await w.gone(clusters.KIND, ELSEWHERE, STRANGER, clusters.SOON)
            for name in (WIDE, FAR):
                await away(w, name, OPERATORS)


async def _nobody_takes_it(w: Environment) -> None:
    await w.apply(fleet(WIDE, OPERATORS, namespaces=["*"], dryRun=True))
    found = await until_phase(w, WIDE, "DryRun", OPERATORS)
    expect(found, dict.fromkeys(STAYING, ("Skipped", "AlreadyThere")))
    await shown(w, "status", WIDE, OPERATORS)
    await w.apply(fleet(FAR, OPERATORS, namespaces=[ELSEWHERE]))
    found = await until_phase(w, FAR, "Refused", OPERATORS)
    expect(found, {})
    quotes(ready(found, "False", "NamespacesNotServed"), ELSEWHERE, "watchNamespaces")
    for kind, name in ((clusters.KIND, STRANGER), (KIND, OWN)):
        left = await w.kube.get(kind, name, ELSEWHERE)
        if left is None or left.get("status") or left["metadata"].get("finalizers"):
            raise AssertionError(f"{kind.kind} {name} of another operator was taken: {left}")
