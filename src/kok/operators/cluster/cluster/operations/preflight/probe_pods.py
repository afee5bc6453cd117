"""Makes the probes before an upgrade, listens to what they say, and removes them.

Before the first one is made it is recorded that there may be some (`status.probes`); that goes only
once a pass has seen none any more. So none is left behind, wherever the operator dies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError, TooManyRequests
from kok.kube.http.paths import object_path
from kok.kube.objects.ownership import owned
from kok.operators.cluster.cluster.operations.preflight import probes
from kok.operators.cluster.cluster.operations.preflight.probes import Probed, Seen, Trouble

Passed = Literal["passed"]
SAYS: Final = {"limitBytes": "1024", "tailLines": "8"}
"""How much of a log is read; it has one line."""


class ProbePods:
    """The probes that one pass looks after."""

    def __init__(
        self, kube: Kube, cluster: Cluster, seen: Iterable[Manifest], now: datetime
    ) -> None:
        """`seen`: all probes of the Cluster, whatever they are of."""
        self._kube = kube
        self._cluster = cluster
        self._seen = {str(pod["metadata"]["name"]): pod for pod in seen}
        self._now = now

    async def clear(self, wanted: Collection[str]) -> None:
        """Removes those that are not wanted (any more), and those of which it is recorded that they
        passed. Raises `KubeError`.

        One that goes before that is recorded would have to be made again.
        """
        recorded = self._cluster.status.probes
        kept = set(wanted) - set(recorded.passed if recorded is not None else ())
        stale = [pod for name, pod in self._seen.items() if name not in kept]
        await all_of(self._delete(pod) for pod in stale)

    async def keep(self, wanted: Sequence[Manifest]) -> Probed:
        """Has all of them tried that are wanted, and says how far that is. Raises `KubeError`.

        One that is refused, or finds no room, waits as long as another one is on its way: both
        together ask for more than an upgrade does.
        """
        recorded = self._cluster.status.probes
        names = [str(one["metadata"]["name"]) for one in wanted]
        passed = {name for name in (recorded.passed if recorded else ()) if name in names}
        left = [one for one in wanted if one["metadata"]["name"] not in passed]
        looks = {name: self._look(name) for name in names if name not in passed}
        busy = {n for n, seen in looks.items() if seen is not None and seen.state == "running"}
        troubles: list[Trouble] = []
        pending: list[str] = []
        for manifest in left:
            name = str(manifest["metadata"]["name"])
            found = looks[name]
            if found is None:
                outcome: Trouble | Passed | None = await self._create(manifest, dry_run=False)
                busy |= {name} if outcome is None else set()
            else:
                outcome = await self._heed(manifest, found)
            crowded = bool(busy - {name}) and (found is None or found.state == "waits")
            if outcome == "passed":
                passed.add(name)
            elif outcome is None or crowded:
                pending.append(name)
            else:
                troubles.append(outcome)
        kept = tuple(name for name in names if name in passed)
        components = frozenset(
            probes.component_of(one) for one in left if one["metadata"]["name"] in pending
        )
        return Probed(kept, tuple(troubles), tuple(pending), components, len(names))

    async def ask(self, wanted: Sequence[Manifest]) -> Probed:
        """Has the API server say whether it would take them, and makes none. Raises `KubeError`."""
        asked = [one for one in wanted if not probes.is_small(str(one["metadata"]["name"]))]
        found = [await self._create(one, dry_run=True) for one in asked]
        troubles = tuple(one for one in found if one is not None)
        return Probed((), troubles, wanted=len(asked), tried=False)

    def _look(self, name: str) -> Seen | None:
        pod = self._seen.get(name)
        if pod is None:
            return None
        if pod["metadata"].get("deletionTimestamp"):
            return Seen("running")
        return probes.look_at(pod, self._now)

    async def _heed(self, manifest: Manifest, found: Seen) -> Trouble | Passed | None:
        """What one that exists has come to: a trouble, `passed`, or None as long as nobody knows."""
        pod = self._seen[str(manifest["metadata"]["name"])]
        trouble = found.trouble
        if found.state == "ended":
            text = await self._said(pod)
            if text is None:
                return None if probes.is_fresh(pod, self._now) else "passed"
            [container] = manifest["spec"]["containers"]
            trouble = probes.wrong_version(
                container["name"], text, probes.version_of(pod), container["image"]
            )
            if trouble is None:
                return "passed"
        if found.again:
            await self._delete(pod)
        return trouble

    async def _create(self, manifest: Manifest, *, dry_run: bool) -> Trouble | None:
        """What the API server says against it; None if it took it."""
        try:
            await self._kube.create(owned(manifest, self._cluster), dry_run=dry_run)
        except (AlreadyExists, TooManyRequests):
            return None  # The next look will see.
        except KubeError as error:
            # A server that fails has not refused anything: the next pass asks again.
            if not 400 <= error.status < 500:
                raise
            name = str(manifest["metadata"]["name"])
            return probes.refused(probes.component_of(manifest), name, error.message)
        return None

    async def _said(self, pod: Manifest) -> str | None:
        """What a probe wrote; None if that cannot be read now. Lesser rights are no trouble."""
        meta = pod["metadata"]
        path = object_path(kinds.POD, meta["namespace"], meta["name"], "log")
        query: Mapping[str, str] = {"container": probes.component_of(pod), **SAYS}
        try:
            return str(await self._kube.raw("GET", path, query=query))
        except Forbidden:
            return f"Kubernetes v{probes.version_of(pod)}"
        except KubeError:
            return None

    async def _delete(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            return
        try:
            await self._kube.delete(kinds.POD, meta["name"], meta["namespace"], uid=meta["uid"])
        except Conflict:
            return  # Another one of that name by now; the next look will see.
