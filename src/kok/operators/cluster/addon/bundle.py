"""Where an Addon's templates come from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from shutil import which
from typing import Any, Final

from kok.api.cluster.addon import Addon
from kok.api.cluster.addonsource import HelmSource, OCISource, ResolvedSource
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import MIB, weight
from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.context import TemplateContext
from kok.operators.cluster.addon.render import (
    RenderJob,
    Template,
    builtin,
    merged_values,
    render,
    run_job,
)
from kok.operators.cluster.addon.sources.artifacts import ArtifactJob, render_artifact
from kok.operators.cluster.addon.sources.charts import LIMITS, ChartJob, render_chart
from kok.operators.cluster.addon.sources.finding import Sources
from kok.operators.cluster.addon.sources.givenvalues import given_values
from kok.operators.cluster.addon.sources.schemas import builtin_problem
from kok.operators.cluster.addon.values import check_values
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Key
from kok.runtime.fairness.slots import FairSlots, GaveWay
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished
from kok.templating.sandboxed import is_quick, render_sandboxed
from kok.versions.ranges import is_meant

CHARTS: Final = 1
"""Charts that are rendered at a time."""
RELEASE: Final = 53
"""Characters that Helm allows the name of a release."""
LOOK_AGAIN = 60.0
"""Seconds after which what pods say of themselves is asked for again."""


LARGE, HEAVY = MIB // 2, 6 * MIB
"""Bytes of a bundle as JSON, and as objects in memory, of which either is much. Ordinary objects
are both at the same time; what aliases make many of is heavy long before."""


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """How much of the operator large bundles may take."""

    large_at_once: int = 4
    """Large bundles that are worked with at the same time, one a namespace."""
    span: float = 60.0
    """Seconds after which who works with a large one makes room for those who wait. A business
    cluster that is slow enough could keep it for the whole of a pass."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an Addon is rendered from: all of it is looked up, and nothing is rendered yet."""

    digest: str
    """The same for what comes to the same objects."""
    render: Callable[[], Awaitable[list[Manifest]]]
    version: str | None = None
    """Of a built-in addon: that of its main image; of others that of the chart or artifact."""
    source: ResolvedSource | None = None
    """What its chart or artifact was found to be."""
    namespace: str = "default"
    """Where everything goes that names none."""
    masked: Callable[[str], str] = str
    """A sentence without what came from Secrets."""

    async def done(self) -> Bundle:
        """What it comes to. Raises `Wait`, `Invalid`."""
        made = await self.render()
        return Bundle(made, self.version, self.source, self.namespace, self.digest)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an Addon comes to for one cluster."""

    manifests: list[Manifest]
    version: str | None
    """Of a built-in addon: that of its main image; of others that of the chart or artifact."""
    source: ResolvedSource | None = None
    """What its chart or artifact was found to be."""
    namespace: str = "default"
    """Where everything goes that names none."""
    made_of: str = ""
    """Digest of what it was rendered from."""

    @property
    def large(self) -> bool:
        """Whether many of this kind at a time would be too much for the operator's memory."""
        texts = [json.dumps(one).encode() for one in self.manifests]
        return sum(map(len, texts)) > LARGE or sum(map(weight, texts)) > HEAVY


class BundleRenderer:
    """Makes bundles; what comes from users is rendered aside, once."""

    def __init__(
        self,
        sandboxes: SandboxPool,
        settings: BundleSettings | None = None,
        *,
        sources: Sources | None = None,
        helm: str = "helm",
        chart_limits: Limits = LIMITS,
    ) -> None:
        """`sandboxes` is where templates of users are rendered; `sources` finds charts and artifacts, and
        `helm` is the program that renders charts, within `chart_limits`."""
        self._sandboxes = sandboxes
        self._sources = sources or Sources(sandboxes)
        self._helm = helm
        self._chart_limits = chart_limits
        self._charts = FairSlots(CHARTS, share=1)
        self._settings = settings or BundleSettings()
        self._room = FairSlots(self._settings.large_at_once, share=1, span=self._settings.span)
        self._large: set[Key] = set()
        """Addons whose bundles were large when they were last seen."""

    @asynccontextmanager
    async def work(self, kube: Kube, addon: Addon, context: TemplateContext) -> AsyncIterator[Work]:
        """What an Addon is rendered from.

        What is raised within, by whomever, tells nothing of what came from Secrets. Raises `Invalid`,
        `Wait` for what is not there, `KubeError`.
        """
        refuse_version(addon.spec.kubernetes, context)
        given = await given_values(kube, addon)
        with given.untold():
            work = await self._work(kube, addon, context, given.values)
            yield replace(work, masked=given.masked)

    @asynccontextmanager
    async def rendered(self, addon: Addon, work: Work) -> AsyncIterator[Bundle]:
        """What that comes to, to be left when it is no longer needed. Raises `Wait`, `Invalid`.

        A large one is let go and made again when there is room, so that what waits takes none.
        """
        key = (addon.namespace, addon.name)
        if key not in self._large:
            made = await work.done()
            if not made.large:
                yield made
                return
            self._large.add(key)
            del made
        try:
            async with self._room.one(addon.namespace):
                made = await work.done()
                if not made.large:
                    self._large.discard(key)
                yield made
        except GaveWay:
            text = (
                f"it is one of the large ones, of which "
                f"{self._settings.large_at_once} are worked with at a time, "
                f"and was not applied within {self._settings.span:.0f} s while others wait; its next turn comes "
                "by itself. Smaller Addons never wait so"
            )
            raise Wait(reasons.WAITING_FOR_ROOM, text, 5.0) from None

    def forget(self, key: Key) -> None:
        """The Addon goes."""
        self._large.discard(key)

    async def close(self) -> None:
        """Closes connections to repositories."""
        await self._sources.close()

    async def bundle(self, kube: Kube, addon: Addon, context: TemplateContext) -> Bundle:
        """Reads and renders; raises `Invalid`, or `Wait` for what is not there."""
        async with self.work(kube, addon, context) as work:
            return await work.done()

    async def _work(
        self, kube: Kube, addon: Addon, context: TemplateContext, values: Mapping[str, Any]
    ) -> Work:
        source = addon.spec.source
        if source.builtin is not None:
            return self._builtin(addon, source.builtin, context, values)
        if source.helm is not None:
            return await self._chart(kube, addon, source.helm, context, values)
        if source.oci is not None:
            return await self._artifact(kube, addon, source.oci, context, values)
        templates = await _templates(kube, addon)
        job = RenderJob(templates, context, values, addon.name)
        digest = job.digest()
        return Work(digest, partial(self._aside, addon.namespace, run_job, job, digest))

    def _builtin(
        self, addon: Addon, name: str, context: TemplateContext, given: Mapping[str, Any]
    ) -> Work:
        template, defaults = builtin(name)
        values = merged_values(name, defaults, given)
        check_values(name, defaults, given, context.version)
        if (problem := builtin_problem(name, values)) is not None:
            raise Invalid(reasons.VALUES_INVALID, problem)
        job = RenderJob((template,), context, values, addon.name)
        version, digest = context.image(name).rpartition(":")[2], job.digest()

        async def rendered() -> list[Manifest]:
            if is_quick(given):
                return render(job.templates, context, values, addon.name)
            return await self._aside(addon.namespace, run_job, job, digest)

        return Work(digest, rendered, version)

    async def _chart(
        self,
        kube: Kube,
        addon: Addon,
        source: HelmSource,
        context: TemplateContext,
        values: Mapping[str, Any],
    ) -> Work:
        found = await self._sources.find(kube, addon)
        job = ChartJob(
            helm=which(self._helm) or self._helm,
            chart=f"chart {source.chart} {found.version}",
            digest=found.digest,
            release=source.release_name or addon.name[:RELEASE].rstrip("-."),
            namespace=source.namespace,
            create_namespace=source.create_namespace,
            kubernetes=context.version,
            api_versions=tuple(source.api_versions),
            values=values,
            hooks=source.hooks,
            addon=addon.name,
        )
        digest = job.key()

        async def rendered() -> list[Manifest]:
            made = self._known(addon.namespace, digest)
            if made is not None:
                return made
            whole = replace(job, archive=await self._sources.archive(kube, addon, found))
            # helm and what prepares its work take much more memory than a template.
            async with self._charts.one(addon.namespace):
                return await self._aside(
                    addon.namespace, render_chart, whole, digest, self._chart_limits
                )

        return Work(digest, rendered, found.version, found, source.namespace)

    async def _artifact(
        self,
        kube: Kube,
        addon: Addon,
        source: OCISource,
        context: TemplateContext,
        values: Mapping[str, Any],
    ) -> Work:
        found = await self._sources.find(kube, addon)
        name = f"artifact {source.reference.partition('@')[0]}"
        job = ArtifactJob(
            name=name, digest=found.digest, context=context, values=values, addon=addon.name
        )
        digest = job.key()

        async def rendered() -> list[Manifest]:
            made = self._known(addon.namespace, digest)
            if made is not None:
                return made
            whole = replace(job, archive=await self._sources.archive(kube, addon, found))
            return await self._aside(addon.namespace, render_artifact, whole, digest)

        version = found.version or found.digest[: len("sha256:") + 12]
        return Work(digest, rendered, version, found)

    def _known(self, namespace: str, digest: str) -> list[Manifest] | None:
        """What a rendering came to that was done already."""
        try:
            return _manifests(self._sandboxes.recall(namespace, digest))
        except TooMuch as error:
            raise _too_much(error) from None

    async def _aside(
        self,
        namespace: str,
        function: Callable[[Any], Any],
        job: Any,
        digest: str,
        limits: Limits | None = None,
    ) -> list[Manifest]:
        """In a process of its own: a template may loop for ever, or ask for all memory there is."""
        try:
            made = await render_sandboxed(
                self._sandboxes, namespace, function, job, digest, limits=limits
            )
        except TooMuch as error:
            raise _too_much(error) from None
        except Unfinished as error:
            raise Wait(
                reasons.RENDERING_UNFINISHED, f"rendering {error}; it is tried again", 30.0
            ) from None
        return _manifests(made) or []


def _manifests(made: Any) -> list[Manifest] | None:
    """What a rendering came to; None for none. Raises `Invalid` where it says so."""
    if made is None:
        return None
    if "invalid" in made:
        raise Invalid(*made["invalid"])
    manifests: list[Manifest] = made["manifests"]
    return manifests


def _too_much(error: TooMuch) -> Invalid:
    problem = f"rendering {error}; make the templates and their values simpler"
    return Invalid(reasons.TEMPLATE_INVALID, problem)


def refuse_version(wanted: str | None, context: TemplateContext) -> None:
    """Raises `Invalid` for a Cluster of a version of Kubernetes that is not meant."""
    if wanted is None:
        return
    try:
        meant = is_meant(wanted, context.version)
    except ValueError as error:
        problem = f"spec.kubernetes: {error}"
        raise Invalid(reasons.KUBERNETES_UNSUPPORTED, problem) from None
    if not meant:
        raise Invalid(
            reasons.KUBERNETES_UNSUPPORTED,
            f"Cluster {context.name} runs Kubernetes {context.version}, and spec.kubernetes is "
            f"{wanted}: take a source that is made for {context.version} and write its range, or "
            "leave the Cluster at a version of the range; until then nothing is changed",
        )


async def _templates(kube: Kube, addon: Addon) -> list[Template]:
    if addon.spec.source.inline is not None:
        return [Template("spec.source.inline", addon.spec.source.inline)]
    name = addon.spec.source.config_map or ""
    where = f"ConfigMap {addon.namespace}/{name}"
    live = await kube.get(kinds.CONFIGMAP, name, addon.namespace)
    data = (live or {}).get("data") or {}
    if not data:
        state = "does not exist" if live is None else "is empty"
        raise Wait(
            reasons.CONFIG_MAP_MISSING, f"{where} {state}; put manifests into its data", LOOK_AGAIN
        )
    return [Template(f"{where}, key {key}", data[key]) for key in sorted(data)]
