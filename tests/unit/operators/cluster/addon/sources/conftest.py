"""Addons from repositories: a server of these, an API server for Secrets, and a renderer."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.apiserver import find_binary
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.addon.sources.repositories import Repositories
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.repository.chart.conftest import HELM_VERSION

from kok.api.cluster.addon import Addon
from kok.kube.client import Kube
from kok.operators.cluster.addon.bundle import Bundle, BundleRenderer
from kok.operators.cluster.addon.context import TemplateContext, context_of
from kok.operators.cluster.addon.sources.charts import LIMITS
from kok.operators.cluster.addon.sources.finding import Sources
from kok.runtime.policy import Policies
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits


@pytest.fixture(scope="session")
def helm() -> str:
    """The real one."""
    return find_binary("helm", HELM_VERSION, "KOK_TEST_HELM")


@pytest.fixture
async def repositories() -> AsyncIterator[Repositories]:
    """With nothing in them."""
    async with Repositories() as server:
        yield server


class Workplace:
    """Where Addons are rendered, for a Cluster of 1.37.1."""

    def __init__(self, api: FakeApi, kube: Kube, server: Repositories, helm: str) -> None:
        self.api, self.kube, self.server, self.helm = api, kube, server, helm
        # This machine is where the server is.
        self.policies = Policies(forbidden_ranges=())
        self.cpu = LIMITS.cpu
        self.renderer = self._fresh()
        self.status: dict[str, Any] = {}

    async def restart(self) -> None:
        """From now on it is rendered by one that remembers nothing."""
        await self.renderer.close()
        self.renderer = self._fresh()

    def _fresh(self) -> BundleRenderer:
        sandboxes = SandboxPool(limits=Limits(wall=600.0))
        sources = Sources(sandboxes, self.policies)
        # The machine may have other things to do than to render.
        limits = replace(LIMITS, cpu=self.cpu, wall=600.0)
        return BundleRenderer(sandboxes, sources=sources, helm=self.helm, chart_limits=limits)

    def put(self, kind: str, name: str, **data: str) -> None:
        """A Secret or ConfigMap in the namespace."""
        plural = {"Secret": "secrets", "ConfigMap": "configmaps"}[kind]
        if kind == "Secret":
            data = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
        self.api.objects[f"/api/v1/namespaces/ns/{plural}/{name}"] = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "ns", "resourceVersion": "1"},
            "data": data,
        }

    def chart(self, **source: Any) -> dict[str, Any]:
        """A source: the chart `demo`."""
        usual = {"repository": self.server.url, "chart": "demo", "version": "1.2.0"}
        return {"helm": {**usual, "ca": self.server.ca, **source}}

    def artifact(self, reference: str, **source: Any) -> dict[str, Any]:
        """A source: an artifact of the registry."""
        where = f"{self.server.host}/{reference}"
        return {"oci": {"reference": where, "ca": self.server.ca, **source}}

    async def bundle(self, source: dict[str, Any], *, name: str = "mine", **spec: Any) -> Bundle:
        """What an Addon comes to; what was found is recorded, as a pass does."""
        made = await self.renderer.bundle(
            self.kube,
            Addon.parse(
                {
                    "metadata": {"name": name, "namespace": "ns"},
                    "spec": {"cluster": "shop", "source": source, **spec},
                    "status": self.status,
                }
            ),
            context(),
        )
        if made.source is not None:
            self.status = {"source": made.source.manifest()}
        return made


def context() -> TemplateContext:
    """That of some cluster."""
    found = context_of(a_cluster(status={"endpoint": "https://192.0.2.10:31443"}))
    assert found is not None
    return found


@pytest.fixture
async def workplace(repositories: Repositories, helm: str) -> AsyncIterator[Workplace]:
    """With a server for what is fetched."""
    api = await FakeApi().start()
    async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as kube:
        place = Workplace(api, kube, repositories, helm)
        yield place
        await place.renderer.close()
    await api.close()
