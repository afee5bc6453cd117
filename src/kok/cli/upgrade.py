"""`kok upgrade`: asks what an upgrade of a Cluster would meet, or has it begin and follows it.

To ask changes nothing of the Cluster but an annotation, which the operator answers in its status and
which goes again with the answer.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from rich.table import Table

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import PreflightStatus, UpgradeFinding
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_PREFLIGHT
from kok.cli.gitops import keeper
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, connected, named, namespace_of
from kok.cli.table import cell, empty
from kok.kube.client import Kube
from kok.versions import is_above

KIND = Cluster.info.kind
PROGRESSING = "Progressing"
READY = "Ready"
BLOCKED, BACKED_OUT = "UpgradeBlocked", "UpgradeBackedOut"
"""Reasons of `Progressing` by which an upgrade does not go on by itself."""
STUCK = "UpgradeStuck"
"""The one by which it may, once somebody mends what the message names."""


async def check(
    name: str, version: str, namespace: str | None, options: KubectlOptions, timeout: float
) -> PreflightStatus:
    """What an upgrade would meet, as the operator finds out. Raises `KubeError`.

    `timeout`: seconds until it counts as not answering.
    """
    mark = f"{version},{uuid.uuid4().hex[:8]}"
    async with _found(name, namespace, options) as (kube, cluster):
        where = cluster.namespace
        try:
            await _annotate(kube, cluster, mark)
            async with asyncio.timeout(timeout):
                async for current in _changes(kube, cluster):
                    answer = current.status.preflight
                    if answer is not None and answer.asked == mark:
                        return answer
        except TimeoutError:
            still = "; it is paused" if cluster.spec.paused else ""
            still = "; it hibernates" if cluster.spec.hibernate else still
            raise Refused(
                f"the cluster operator has not answered for Cluster {where}/{name} within "
                f"{timeout:.0f} s{still}"
            ) from None
        finally:
            await _annotate(kube, cluster, None)
    raise Refused(f"Cluster {where}/{name} is gone")


async def begin(
    name: str, version: str, namespace: str | None, options: KubectlOptions
) -> list[str]:
    """Writes `spec.version`; sentences on what that means. Raises `KubeError`."""
    async with _found(name, namespace, options) as (kube, cluster):
        where, before = f"Cluster {cluster.namespace}/{name}", cluster.spec.version
        said = [f"{where}: spec.version {before} -> {version}"]
        if before == version:
            said = [f"{where}: spec.version is {version} already"]
        else:
            patch = {"spec": {"version": version}}
            await kube.patch(KIND, name, cluster.namespace, patch)
        if kept_by := keeper(cluster.metadata.manifest()):
            said.append(
                f"{kept_by} keeps it as it stands in Git: write 'version: \"{version}\"' there, or it "
                "goes back"
            )
        return said


async def follow(
    name: str,
    version: str,
    namespace: str | None,
    options: KubectlOptions,
    tell: Callable[[str], None],
) -> bool:
    """Tells of every step until the version runs, or nothing goes on by itself; whether it runs.

    Raises `KubeError`.
    """
    began, last = time.monotonic(), ""
    async with _found(name, namespace, options) as (kube, cluster):
        async for current in _changes(kube, cluster):
            line, ended = _line(current, version)
            if line != last:
                tell(f"{time.monotonic() - began:7.1f} s  {line}")
                last = line
            if ended is not None:
                return ended
    raise Refused(f"Cluster {cluster.namespace}/{name} is gone")


def _line(cluster: Cluster, version: str) -> tuple[str, bool | None]:
    """How far it is, and whether it is over: well (True) or not."""
    if (why := _in_the_way(cluster, version)) is not None:
        return why, False
    now, moving = cluster.status.upgrade, cluster.status.condition(PROGRESSING)
    seen = cluster.status.observed_generation == cluster.metadata.generation
    if now is None:
        return _at_rest(cluster, version, seen=seen)
    message = moving.message if moving is not None else ""
    if seen and moving is not None and moving.reason in {BLOCKED, BACKED_OUT}:
        return f"{moving.reason}: {message}", False
    via = f" of {now.hop}" if now.hop != now.to else ""
    waits = f": {now.waiting_for}" if now.waiting_for else ""
    if seen and moving is not None and moving.reason == STUCK:
        waits = f": {moving.reason}: {message}"
    return f"{now.step}{via}{waits}", None


def _in_the_way(cluster: Cluster, version: str) -> str | None:
    """Why it does not come to that version by itself, as a sentence."""
    spec = cluster.spec
    if spec.version != version:
        return f"somebody has changed spec.version to {spec.version}"
    if spec.paused:
        return "it is paused, and goes there when spec.paused is false again"
    if spec.hibernate:
        return "it hibernates, and goes there when it wakes"
    return None


def _at_rest(cluster: Cluster, version: str, *, seen: bool) -> tuple[str, bool | None]:
    """What runs while nothing is under way; `seen`: the operator knows of the spec."""
    runs, raised = cluster.status.version, cluster.status.raised
    if not seen:
        return f"{runs} runs", None
    if runs == version:
        return f"{version} runs", True
    if raised is not None and runs == raised.to and is_above(raised.to, version):
        return f"{runs} runs, to which FleetUpgrade {raised.by} raised it", True
    ready = cluster.status.condition(READY)
    sick = ready is not None and ready.status == "False"
    return f"{runs} runs{f'; {ready.reason}: {ready.message}' if ready and sick else ''}", None


def table(findings: list[UpgradeFinding]) -> Table:
    """One line a finding, errors first."""
    out = empty("SEVERITY", "CHECK", "OBJECT", "WHAT, AND WHAT TO DO")
    for one in findings:
        severity = cell("Consented" if one.consented else one.severity)
        severity.stylize("red" if one.blocks else "yellow")
        out.add_row(severity, *map(cell, (one.check, one.object, one.message)))
    return out


@asynccontextmanager
async def _found(
    name: str, namespace: str | None, options: KubectlOptions
) -> AsyncIterator[tuple[Kube, Cluster]]:
    """The meta cluster, and the Cluster as it is now."""
    async with await connected(options) as kube:
        found = await named(kube, KIND, name, namespace_of(kube, namespace))
        yield kube, Cluster.parse(found)


async def _changes(kube: Kube, cluster: Cluster) -> AsyncIterator[Cluster]:
    """The Cluster now and after each change, as long as it is there."""
    watch = kube.watch(KIND, cluster.namespace, fields={"metadata.name": cluster.name})
    async with aclosing(watch) as events:
        async for event in events:
            if event.type == "DELETED":
                return
            if event.type != "SYNCED":
                yield Cluster.parse(event.object)


async def _annotate(kube: Kube, cluster: Cluster, value: str | None) -> None:
    patch: Manifest = {"metadata": {"annotations": {ANNOTATION_PREFLIGHT: value}}}
    await kube.patch(KIND, cluster.name, cluster.namespace, patch)
