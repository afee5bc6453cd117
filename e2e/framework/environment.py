"""What every scenario works with: a lab with KOK in it, a client, a report."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from e2e.framework.follow import Predicate, until, until_gone
from e2e.framework.install import install
from e2e.framework.report import Report
from e2e.lab import Lab, LabError
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube

PATIENCE = 60.0
"""Seconds for one request of a scenario: a busy machine is slow, and no scenario is about that."""


@dataclass
class Environment:
    """A lab with KOK installed; `kube` speaks to the meta cluster as its admin."""

    lab: Lab
    kube: Kube
    report: Report

    async def until(
        self, kind: Kind, namespace: str, name: str, predicate: Predicate, within: float
    ) -> Manifest:
        """Follows one object, with a line for each change of what it says."""
        return await until(
            self.kube, kind, name, namespace, predicate, within=within, seen=self.report.line
        )

    async def gone(self, kind: Kind, namespace: str, name: str, within: float) -> None:
        """Follows one object until it is gone."""
        await until_gone(self.kube, kind, name, namespace, within=within, seen=self.report.line)

    async def business(self, namespace: str, cluster: str) -> Kube:
        """A client for a business cluster with its admin kubeconfig, as a user would have it."""
        return await Kube.from_kubeconfig(
            await self.kubeconfig(namespace, cluster), field_manager="kok-e2e", timeout=PATIENCE
        )

    async def kubeconfig(self, namespace: str, cluster: str) -> str:
        """Text of the admin kubeconfig."""
        return await self.lab.kubectl(
            "get",
            "secret",
            f"{cluster}-kubeconfig",
            "-n",
            namespace,
            "-o",
            "go-template={{.data.kubeconfig | base64decode}}",
        )

    async def apply(self, *manifests: Manifest) -> None:
        """Server-side apply, side by side as far as the order of a file allows."""
        for manifest in manifests:
            await self.kube.apply(manifest)

    async def refused(self, manifest: Manifest, sentence: str) -> None:
        """`kubectl apply` refuses it with that sentence; raises `AssertionError` if not."""
        try:
            await self.lab.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        except LabError as error:
            if sentence not in str(error):
                raise AssertionError(f"expected {sentence!r} in {error}") from error
            return
        raise AssertionError(f"kubectl apply took {manifest['spec']}")

    async def namespace(self, name: str) -> None:
        """Makes a namespace if it is not there."""
        await self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def drop_namespace(self, name: str, within: float = 300.0) -> None:
        """Removes a namespace and waits until it is gone."""
        await self.kube.delete(kinds.NAMESPACE, name)
        await until_gone(self.kube, kinds.NAMESPACE, name, "", within=within)

    async def left_in(self, namespace: str, what: Sequence[Kind]) -> list[str]:
        """Names of the objects of these kinds that are left in a namespace."""
        found: list[str] = []
        for kind in what:
            found.extend(
                f"{kind.kind}/{manifest['metadata']['name']}"
                for manifest in await self.kube.list(kind, namespace)
                if not _default_object(kind, manifest)
            )
        return sorted(found)


def _default_object(kind: Kind, manifest: dict[str, Any]) -> bool:
    """Whether Kubernetes itself puts it into every namespace."""
    name = manifest["metadata"]["name"]
    return (kind is kinds.CONFIGMAP and name == "kube-root-ca.crt") or (
        kind is kinds.SERVICEACCOUNT and name == "default"
    )


@asynccontextmanager
async def environment(
    report: Report, *, meta: int = 1, workers: int = 1
) -> AsyncIterator[Environment]:
    """The lab as it must be for a scenario; it stays up afterwards."""
    with report.step("lab", "lab_s"):
        lab = await Lab.up(meta=meta, workers=workers, operators=True)
    with report.step("operators installed with Helm", "install_s"):
        await install(lab, report)
    kube = await Kube.from_kubeconfig(
        lab.kubeconfig.read_text(), field_manager="kok-e2e", timeout=PATIENCE
    )
    try:
        yield Environment(lab, kube, report)
    finally:
        await kube.close()
