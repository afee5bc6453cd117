"""What API servers of a business cluster do not reach inside it: kubelets, webhooks, aggregated APIs.

They are asked themselves, since how it looks from where they are is what counts. All of it is data of
a tenant, and bounded. What fails once is told of only when it fails again: one lost request, or a node
that has just come, is no outage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kok.api.meta import Manifest
from kok.api.printable import plain
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from kok.kube.http.paths import object_path
from kok.operators.cluster.businesscluster.webhooks import Webhook, webhooks
from kok.runtime.pods.messages import one_line

WELL, ILL, SETTLE = 120.0, 20.0, 5.0
"""Seconds between two looks where all is reached, where it is not, and after nodes came or went."""
LASTING: Final = 60.0
"""Seconds for which something is not reached until that is no node that has just died: one stays Ready
for 50."""
KUBELET_LIMIT: Final = 10.0
"""Seconds that a kubelet has for its answer."""
NODES_MOST: Final = 4
"""Nodes that are asked, the first by name: always the same, so that what is said stays."""
SIDE_BY_SIDE: Final = 2
"""Of these at the same time: the others of the few connections are for what cannot wait."""
NAMED: Final = 16
"""Entries of each kind that are remembered."""
_UNCERTIFIED: Final = "tls: internal error"
"""What a kubelet says that has no serving certificate yet: it is reached, and other conditions tell."""
_REFUSED: Final = "connection refused"
DNS_PODS: Final = {"k8s-app": "kube-dns"}
DNS_PORT: Final = 8181
"""By which CoreDNS tells that it is ready."""
_VITAL: Final = frozenset({"nodes", "leases"})
"""Without these no node stays Ready."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One look: what is not reached, each as the end of a sentence."""

    asked: int = 0
    """Nodes whose kubelet was asked."""
    kubelets: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    """Without a way to pods webhooks and aggregated APIs inside could not work; not all need them."""
    webhooks: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    """Webhooks that answer, and without which no node would stay Ready."""
    lasting: tuple[str, ...] = ()
    """Of kubelets and pods those that no look has reached for `LASTING` seconds."""

    @property
    def whole(self) -> bool:
        """Whether everything is reached that is in use."""
        return not (self.kubelets or self.webhooks or self.apis)

    def after(self, before: Reach, told: Reach) -> Reach:
        """What is to be said of it: of each kind only what was not reached the time before, too."""
        return replace(
            self,
            kubelets=self.kubelets if before.kubelets or not self.kubelets else told.kubelets,
            pods=self.pods if before.pods or not self.pods else told.pods,
            webhooks=self.webhooks if before.webhooks or not self.webhooks else told.webhooks,
            apis=self.apis if before.apis or not self.apis else told.apis,
        )


async def look(kube: Kube, nodes: Iterable[str]) -> Reach:
    """Asks all of it, side by side. Raises `KubeError` where the API itself does not answer."""
    asked = sorted(nodes)[:NODES_MOST]
    turns = asyncio.Semaphore(SIDE_BY_SIDE)
    async with asking() as group:
        answers = {name: group.create_task(_kubelet(kube, name, turns)) for name in asked}
        hooks = group.create_task(webhooks(kube))
        apis = group.create_task(kube.list(kinds.APISERVICE, keep=_unavailable))
        pods = group.create_task(_pod(kube, turns) if asked else _nothing())
    kubelets = tuple(
        f"node {plain(name)}: {said}"
        for name, task in answers.items()
        if (said := task.result()) is not None
    )
    found = hooks.result()
    failing = [_failing(hook) for hook in found if hook.missing is not None]
    risks = [_risk(hook) for hook in found if hook.missing is None and _vital(hook)]
    gone = [str(one["said"]) for one in apis.result() if one]
    return Reach(
        len(asked),
        kubelets,
        pods.result(),
        tuple(failing[:NAMED]),
        tuple(sorted(gone)[:NAMED]),
        tuple(risks[:NAMED]),
    )


class ReachWatch:
    """Looks now and then, and tells when what is to be said of it changes."""

    def __init__(
        self,
        kube: Kube,
        nodes: Callable[[], Mapping[str, bool] | None],
        on_change: Callable[[], None],
        *,
        pause: Callable[[Awaitable[Any], float], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Needs a running event loop. `nodes` are Ready or not, by name, None until known.

        `pause` waits for something, for so many seconds at most; `clock` tells seconds.
        """
        self.found: Reach | None = None
        """What is to be said; None before that is known."""
        self._kube = kube
        self._nodes = nodes
        self._on_change = on_change
        self._pause = pause or _pause
        self._clock = clock
        self._before: Reach | None = None
        self._lost: dict[str, float] = {}
        """Since when each kubelet, or the pods, are not reached."""
        self._stirred = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    def stir(self) -> None:
        """Nodes came or went: soon it is looked again."""
        self._stirred.set()

    async def close(self) -> None:
        """Looks no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            nodes = self._nodes()
            if nodes is not None:
                await self._look([name for name, ready in nodes.items() if ready])
            await self._pause(self._stirred.wait(), WELL if self._well else ILL)
            if self._stirred.is_set():
                await self._pause(asyncio.Event().wait(), SETTLE)
            self._stirred.clear()

    @property
    def _well(self) -> bool:
        """Whether all is reached that is in use. What is not told yet, or may be passing, is looked at
        again soon."""
        found = self.found
        if found is None or not found.whole or len(found.lasting) < len(self._lost):
            return False
        return replace(found, lasting=()) == self._before

    async def _look(self, nodes: Iterable[str]) -> None:
        try:
            now = await look(self._kube, nodes)
        except KubeError:
            return  # Whoever asks the API for more important things tells of that.
        was, self._before = self._before, now
        lasting = self._lasting(now)
        if was is None and not (now.whole and not now.pods):
            return
        told = replace(now.after(was or now, self.found or Reach()), lasting=lasting)
        if told != self.found:
            self.found = told
            self._on_change()

    def _lasting(self, now: Reach) -> tuple[str, ...]:
        moment = self._clock()
        lost = {said.partition(":")[0]: said for said in now.kubelets}
        if now.pods:
            lost["pods"] = now.pods[0]
        self._lost = {what: self._lost.get(what, moment) for what in lost}
        return tuple(lost[what] for what, at in self._lost.items() if moment - at >= LASTING)


async def _pause(what: Awaitable[Any], most: float) -> None:
    try:
        async with asyncio.timeout(most):
            await what
    except TimeoutError:
        pass


async def _kubelet(kube: Kube, node: str, turns: asyncio.Semaphore) -> str | None:
    """Why a node's kubelet is not reached; None if it is, or the node is gone."""
    try:
        path = f"{object_path(kinds.NODE, None, node, 'proxy')}/healthz"
        async with turns:
            await kube.raw("GET", path, timeout=KUBELET_LIMIT)
    except (NotFound, Forbidden, Unauthorized):
        return None
    except KubeError as error:
        return None if _UNCERTIFIED in error.message else one_line(error.message)
    return None


async def _nothing() -> tuple[str, ...]:
    return ()


async def _pod(kube: Kube, turns: asyncio.Semaphore) -> tuple[str, ...]:
    """Whether a pod of the cluster's DNS is reached; nothing where there is none that is ready.

    What it answers does not count, nor that it refuses: its host does that.
    """
    found = await kube.list(kinds.POD, "kube-system", labels=DNS_PODS, keep=_ready_pod, most=1)
    for name in (str(pod["metadata"]["name"]) for pod in found if pod):
        try:
            path = object_path(kinds.POD, "kube-system", f"{name}:{DNS_PORT}", "proxy")
            async with turns:
                await kube.raw("GET", f"{path}/ready", timeout=KUBELET_LIMIT)
        except (NotFound, Forbidden, Unauthorized):
            return ()
        except KubeError as error:
            if _REFUSED not in error.message:
                return (f"pod kube-system/{plain(name)}: {one_line(error.message)}",)
        return ()
    return ()


def _ready_pod(live: Manifest) -> Manifest | None:
    """For `keep`: the name of a pod that is ready and stays."""
    status, meta = live.get("status"), live["metadata"]
    conditions = status.get("conditions") if isinstance(status, dict) else None
    ready = any(
        isinstance(one, dict) and (one.get("type"), one.get("status")) == ("Ready", "True")
        for one in (conditions if isinstance(conditions, list) else ())
    )
    return (
        {"metadata": {"name": meta["name"]}} if ready and "deletionTimestamp" not in meta else None
    )


def _unavailable(live: Manifest) -> Manifest | None:
    """For `keep`: what is said of an aggregated API that is not available."""
    spec, status = live.get("spec"), live.get("status")
    if not isinstance(spec, dict) or not isinstance(spec.get("service"), dict):
        return None
    conditions = status.get("conditions") if isinstance(status, dict) else None
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, dict) and (one.get("type"), one.get("status")) == ("Available", "False"):
            name = one_line(live["metadata"]["name"])
            said = one_line(one.get("message") or one.get("reason"))
            return {"metadata": {"name": name}, "said": f"APIService {name}: {said}"}
    return None


def _failing(hook: Webhook) -> str:
    about = ", ".join(hook.resources[:4])
    unless = ", unless its matchConditions exclude that" if hook.conditions else ""
    return f"webhook {hook.configuration}/{hook.name}, asked about {about}{unless}: {hook.missing}"


def _vital(hook: Webhook) -> bool:
    return hook.service is not None and not hook.conditions and bool(_VITAL & {*hook.resources})


def _risk(hook: Webhook) -> str:
    about = " and ".join(sorted(_VITAL & {*hook.resources}))
    return f"webhook {hook.configuration}/{hook.name} has to be asked about {about}"
