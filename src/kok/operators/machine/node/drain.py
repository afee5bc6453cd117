"""Moving pods off a node before it goes or is changed: evictions that respect disruption budgets.

A node that goes is drained for a time, after which budgets no longer count. One that is changed and
stays is never drained against them: whoever made them would rather have it wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, NotFound, TooManyRequests
from kok.runtime.clock import Clock

_MIRROR = "kubernetes.io/config.mirror"
DEFAULT_GRACE = 30
"""Seconds that a pod gets to end if nobody says more, in Kubernetes."""
_DNS = ("kube-system", "k8s-app", "kube-dns")
"""Namespace and label of the pods of a cluster's own DNS."""
SHOWN = 3
"""Pods that a sentence names at most."""
LONGEST = 7 * 86400
"""Seconds beyond which it does not matter how long a pod may take to end."""


@dataclass(frozen=True, slots=True)
class DrainTimings:
    """How patient a drain is; seconds."""

    again: float = 1.0
    """Between two looks at the pods that are left."""
    dead: float = 10.0
    """That evicted pods of a node that does not answer get."""
    forced: float = 40.0
    """After the deadline in which pods that were deleted against their budgets may end."""
    grace: int = 30
    """That they get at most to end by themselves; it is also their default."""
    at_once: int = 20
    """Evictions at a time."""
    pods: int = 1000
    """Pods that are looked at at a time; kubelets run hundreds."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A pod that has to leave."""

    name: str
    namespace: str
    uid: str
    deleted: bool
    """Whether somebody asked it to end."""
    grace: int
    """Seconds that it gets to end."""
    dns: bool = False
    """Whether it is of the cluster's own DNS."""

    def ends(self, *, within: int | None) -> bool:
        """Whether it ends by itself, and within so many seconds if that matters."""
        return self.deleted and (within is None or self.grace <= within)


@dataclass(slots=True)
class Drain:
    """One drain. `told` gets what is being waited for, whenever that changes."""

    kube: Kube
    clock: Clock
    node: str
    alive: Callable[[], bool]
    """Whether the node's kubelet can end pods at this moment."""
    deadline: datetime | None
    """When budgets no longer count; None: they always do."""
    told: Callable[[str], None]
    timings: DrainTimings = field(default_factory=DrainTimings)
    cordons: bool = True
    """Whether it cordons the node itself."""
    lasts: float | None = None
    """Seconds after which it ends, to be begun anew; None: it goes on as long as there is hope."""
    emptied: bool = False
    """Whether no pod was left in the end."""
    forced: bool = False
    """Whether they did not count in the end."""
    _refusal: str = ""
    """Why a pod could not be evicted, where it was no disruption budget that forbade it."""
    _never: asyncio.Event = field(default_factory=asyncio.Event)
    _limit: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._limit = asyncio.Semaphore(self.timings.at_once)

    async def run(self) -> None:
        """Returns when the pods are gone, or nothing more can be done. Raises `KubeError`."""
        try:
            if self.cordons:
                cordon = {"spec": {"unschedulable": True}}
                await self.kube.patch(kinds.NODE, self.node, None, cordon)
        except NotFound:
            return
        alone = not await self._elsewhere()
        if alone and self.deadline is not None:
            # The pods have nowhere to go: no patience would ever make their budgets allow it.
            self.deadline = min(self.deadline, self.clock.now())
        began = last_alive = self.clock.monotonic()
        force = False
        while pods := await self._pods():
            self._refusal = ""
            last = alone and all(pod.dns for pod in pods)
            blocked = await self._evict(pods, force=force or last)
            self.told(self._refusal or _sentence(pods, blocked))
            now = self.clock.monotonic()
            last_alive = now if self.alive() else last_alive
            if now - last_alive > self.timings.dead or self._is_over(now - began):
                return
            over = self._overdue()
            if not force and over is not None and over >= 0:
                force, self.forced = True, bool(blocked)
            elif over is not None and over > self.timings.forced:
                # Counted from the deadline, however often the drain was begun anew.
                return
            await self.clock.wait(self._never, self.timings.again)
        self.emptied = True

    def _is_over(self, seconds: float) -> bool:
        return self.lasts is not None and seconds >= self.lasts

    def _overdue(self) -> float | None:
        """Seconds since budgets no longer count; negative before, None where they always do."""
        if self.deadline is None:
            return None
        return (self.clock.now() - self.deadline).total_seconds()

    async def _elsewhere(self) -> bool:
        """Whether another node could take pods."""

        def takes(node: Manifest) -> Manifest:
            other = node["metadata"]["name"] != self.node
            return {"takes": other and not (node.get("spec") or {}).get("unschedulable")}

        return any(node["takes"] for node in await self.kube.list(kinds.NODE, keep=takes))

    async def _pods(self) -> list[Leaving]:
        """Pods that have to leave, as many as are looked at at a time."""
        chosen = running_on(self.node)
        pods = await self.kube.list(kinds.POD, fields=chosen, keep=_kept, most=self.timings.pods)
        return [pod["leaving"] for pod in pods]

    async def _evict(self, pods: list[Leaving], *, force: bool) -> list[str]:
        """The pods that their budgets protect, each with what the API says of the budget.

        `force`: whatever the budgets say. So it is, too, with the cluster's own DNS once no other pod
        is left and no other node could take it: it serves nobody there any more.
        """
        within = self.timings.grace if force else None
        todo = [pod for pod in pods if not pod.ends(within=within)]
        try:
            async with asyncio.TaskGroup() as group:
                works = [group.create_task(self._one(pod, force=force)) for pod in todo]
        except ExceptionGroup as lost:
            # The others are not to go on behind the back of whoever ends this drain.
            raise lost.exceptions[0] from None
        return [name for work in works if (name := work.result())]

    async def _one(self, pod: Leaving, *, force: bool) -> str:
        name, namespace = pod.name, pod.namespace
        async with self._limit:
            try:
                if force:
                    grace = min(pod.grace, self.timings.grace)
                    await self.kube.delete(kinds.POD, name, namespace, uid=pod.uid, grace=grace)
                else:
                    await self.kube.evict(name, namespace, uid=pod.uid)
            except (NotFound, Conflict):
                # Gone, or another one in its place, which the next look finds.
                return ""
            except TooManyRequests as error:
                return f"{namespace}/{name}{_budget(error)}"
            except KubeError as error:
                if error.status == 0:
                    raise
                # Refused for another reason, by a webhook for example.
                self._refusal = f"the API refuses to evict {namespace}/{name}: {error.message}"[
                    :300
                ]
                return f"{namespace}/{name}"
        return ""


def leaving(pod: Manifest) -> Leaving | None:
    """What matters of a pod that has to leave; nothing of any other."""
    meta = pod["metadata"]
    name, namespace, uid = (str(meta.get(key) or "") for key in ("name", "namespace", "uid"))
    if not concerns(pod) or not (name and namespace and uid):
        return None
    given = meta.get("deletionGracePeriodSeconds")
    if given is None:
        given = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    grace = given if isinstance(given, int) and given >= 0 else DEFAULT_GRACE
    where, label, value = _DNS
    dns = namespace == where and (meta.get("labels") or {}).get(label) == value
    ends = bool(meta.get("deletionTimestamp"))
    return Leaving(name, namespace, uid, ends, min(grace, LONGEST), dns)


def _kept(pod: Manifest) -> Manifest | None:
    found = leaving(pod)
    return None if found is None else {"leaving": found}


def running_on(node: str) -> str:
    """Selects the pods of a node, by fields."""
    # Of those that have ended there may be thousands, which are deleted by nobody for long.
    return f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"


def moving(pod: Manifest) -> Manifest | None:
    """Next to nothing of a pod that has to leave, for those who count; None of any other."""
    return {} if concerns(pod) else None


def concerns(pod: Manifest) -> bool:
    """Whether a pod has to leave: those of DaemonSets, of files and those that ended stay."""
    meta = pod["metadata"]
    owners = meta.get("ownerReferences") or ()
    if any(o.get("controller") and o.get("kind") == "DaemonSet" for o in owners):
        return False
    if _MIRROR in (meta.get("annotations") or {}):
        return False
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _budget(refusal: TooManyRequests) -> str:
    """Which disruption budget forbids an eviction, as the API server says it, in brackets."""
    causes = refusal.details.get("causes") or ()
    said = [c["message"] for c in causes if c.get("reason") == "DisruptionBudget"]
    text = said[0][:200].rstrip(".") if said else ""
    return f" ({text[:1].lower()}{text[1:]})" if text else ""


def _sentence(pods: list[Leaving], blocked: list[str]) -> str:
    text = "1 pod is left" if len(pods) == 1 else f"{len(pods)} pods are left"
    if blocked:
        return f"{text}; disruption budgets protect {', '.join(sorted(blocked)[:SHOWN])}"
    named = sorted(f"{pod.namespace}/{pod.name}" for pod in pods)
    more = ", ..." if len(named) > SHOWN else ""
    return f"{text}: {', '.join(named[:SHOWN])}{more}"
