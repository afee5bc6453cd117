"""The Component objects that a KubeNode needs: made once, shared, pinned to their checksums."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from kok.api import names
from kok.api.machine.component import Component
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import MachineComponent
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, Conflict
from kok.kube.objects.ownership import owner_reference
from kok.operators.machine import reasons
from kok.operators.machine.component import catalog, checksums
from kok.operators.machine.component.checksums import ChecksumError
from kok.runtime.controller.errors import Wait

KIND = Component.info.kind
ANNOTATION_SUMS = "kok.dev/checksums-from"
"""On a Component: where its checksums came from."""
PUBLISHED = "published"


@dataclass(slots=True)
class SoftwareObjects:
    """Looks after the Components of one KubeNode during one pass."""

    kube: Kube
    session: aiohttp.ClientSession
    kubenode: KubeNode
    lives: Mapping[str, Manifest]
    """All Components of the namespace by name; nothing but metadata."""
    _listed: dict[str, str] | None = field(default=None)

    async def ensure(self, software: Iterable[MachineComponent]) -> None:
        """Makes what is missing, side by side. Raises `Wait` with a sentence, or `KubeError`."""
        wanted = [c for c in software if c.name in catalog.builtin()]
        results = await asyncio.gather(*(self._one(c) for c in wanted), return_exceptions=True)
        errors = [r for r in results if isinstance(r, BaseException)]
        for error in sorted(errors, key=lambda e: isinstance(e, Wait)):
            raise error

    async def _one(self, software: MachineComponent) -> None:
        name = names.component(software.name, software.version)
        live = self.lives.get(name)
        if live is not None and not _ours(live):
            return  # Somebody's own takes the place of the built-in one.
        if live is not None and live["metadata"].get("deletionTimestamp"):
            raise Wait(reasons.COMPONENT_MISSING, f"Component {name} is being deleted", 1.0)
        if live is None:
            await self._create(name, software)
            return
        await self._check(name, software, live)
        await self._own(name, live)

    async def _create(self, name: str, software: MachineComponent) -> None:
        sums = await self._sums(software)
        manifest = catalog.manifest(software.name, software.version, sums)
        manifest["metadata"] |= {
            "namespace": self.kubenode.namespace,
            "annotations": {ANNOTATION_SUMS: self._source},
            "ownerReferences": [self._reference()],
        }
        try:
            await self.kube.create(manifest)
        except AlreadyExists:
            # Another KubeNode of the namespace was quicker; the next pass looks at what it made.
            raise Wait(reasons.COMPONENT_MISSING, f"Component {name} was just made", 0.1) from None

    async def _check(self, name: str, software: MachineComponent, live: Manifest) -> None:
        """The ConfigMap, where there is one, has the last word on checksums."""
        if not self.kubenode.spec.artifacts.checksums:
            return
        sources = catalog.sources(software.name, software.version)
        whole = await self.kube.get(KIND, name, self.kubenode.namespace)
        held = catalog.pinned(whole or {}, [s.path for s in sources])
        sums = await self._sums(software)
        wrong = sorted(path for path, digest in held.items() if sums.get(path) != digest)
        # A ConfigMap that lists fewer architectures than before takes nothing away.
        wrong = [path for path in wrong if path in sums]
        if not wrong:
            return
        origin = (live["metadata"].get("annotations") or {}).get(ANNOTATION_SUMS, PUBLISHED)
        if origin == self._source or (origin == PUBLISHED and not self._others(live)):
            await self.kube.delete(KIND, name, self.kubenode.namespace, uid=live["metadata"]["uid"])
            raise Wait(
                reasons.COMPONENT_MISSING,
                f"Component {name} is made anew with the checksums of {self._source}",
                0.2,
            )
        path = wrong[0]
        raise Wait(
            reasons.CHECKSUM_CONFLICT,
            f"Component {name} has SHA-256 {held[path]} for {path} ({origin}), but "
            f"{self._source} says {sums[path]}; make them agree with what KubeNode "
            f"{' and '.join(self._others(live))} uses, or use another namespace",
            30.0,
        )

    def _others(self, live: Manifest) -> list[str]:
        """Names of the other KubeNodes that the Component was made for."""
        references = live["metadata"].get("ownerReferences") or []
        return [r["name"] for r in references if r.get("uid") != self.kubenode.metadata.uid]

    async def _own(self, name: str, live: Manifest) -> None:
        references = live["metadata"].get("ownerReferences") or []
        uid = self.kubenode.metadata.uid
        if any(reference.get("uid") == uid for reference in references):
            return
        await self._refer(name, live, [*references, self._reference()])

    async def release(self, in_use: Sequence[str]) -> None:
        """Gives up Components, not in use by name, that were made for this KubeNode."""
        uid = self.kubenode.metadata.uid
        for name, live in sorted(self.lives.items()):
            references = live["metadata"].get("ownerReferences") or []
            mine = [r for r in references if r.get("uid") == uid]
            if name in in_use or not mine or live["metadata"].get("deletionTimestamp"):
                continue
            others = [r for r in references if r.get("uid") != uid]
            if others:
                await self._refer(name, live, others)
            else:
                await self.kube.delete(
                    KIND, name, self.kubenode.namespace, uid=live["metadata"]["uid"]
                )

    async def _refer(self, name: str, live: Manifest, references: list[Any]) -> None:
        patch = {
            "metadata": {
                "resourceVersion": live["metadata"]["resourceVersion"],
                "ownerReferences": references,
            }
        }
        try:
            await self.kube.patch(KIND, name, self.kubenode.namespace, patch)
        except Conflict:
            raise Wait(
                reasons.COMPONENT_MISSING, f"Component {name} was just changed", 0.2
            ) from None

    async def _sums(self, software: MachineComponent) -> dict[str, str]:
        sources = catalog.sources(software.name, software.version)
        if not sources:
            return {}
        spec, namespace = self.kubenode.spec, self.kubenode.namespace
        try:
            if not spec.artifacts.checksums:
                return await checksums.published(
                    self.session, sources, spec.artifacts.base_url, spec.artifacts.ca
                )
            found = await self._config_map()
            return checksums.from_config_map(
                f"{namespace}/{spec.artifacts.checksums}", found, sources
            )
        except ChecksumError as error:
            raise Wait(error.reason, error.message, 10.0) from None

    async def _config_map(self) -> dict[str, str] | None:
        if self._listed is None:
            name = self.kubenode.spec.artifacts.checksums
            found = await self.kube.get(kinds.CONFIGMAP, name, self.kubenode.namespace)
            if found is None:
                return None
            self._listed = dict(found.get("data") or {})
        return self._listed

    @property
    def _source(self) -> str:
        name = self.kubenode.spec.artifacts.checksums
        return f"ConfigMap {name}" if name else PUBLISHED

    def _reference(self) -> dict[str, Any]:
        """One owner among several: none of them is the controller."""
        return {
            **owner_reference(self.kubenode),
            "controller": False,
            "blockOwnerDeletion": False,
        }


def _ours(live: Manifest) -> bool:
    labels = live["metadata"].get("labels") or {}
    return bool(labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY)
