"""A toy kind and its reconciler: a Toy asks for a ConfigMap that holds its size.

Run as a program it is an operator of its own, for tests that kill it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from kok.api.meta import ApiModel, Kind, KindInfo, Manifest, Resource, Status
from kok.kube import kinds
from kok.kube.apply.serverside import ensure
from kok.kube.objects.ownership import owned
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import DONE, Done, Key, OperatorSpec, Pass, Result, Wake

TOY = Kind("toys.kok.dev", "v1alpha1", "Toy", "toys")
DOLL = Kind("toys.kok.dev", "v1alpha1", "Doll", "dolls")
HOLD = "kok.dev/hold"


class ToySpec(ApiModel):
    """What a test can ask for."""

    size: int = 1
    paused: bool = False
    wait: str = ""
    """Wait for a ConfigMap of that name, which nobody owns."""
    hang: bool = False
    """Never end a pass."""
    fail: bool = False
    """Raise an error that nobody expects, with a secret in it."""


class ToyStatus(Status):
    """What the reconciler found."""

    size: int | None = None
    passes: int = 0
    """Passes that changed something."""


class Toy(Resource):
    """The toy kind."""

    info: ClassVar[KindInfo] = KindInfo(kind=TOY, short_names=(), columns=())
    spec: ToySpec
    status: ToyStatus


class Doll(Toy):
    """The same under another name, for an operator of its own."""

    info: ClassVar[KindInfo] = KindInfo(kind=DOLL, short_names=(), columns=())


class ToyReconciler:
    """Keeps the ConfigMap equal to the spec."""

    wakes_on: Sequence[Wake] = (Wake(kinds.CONFIGMAP),)

    def __init__(self, model: type[Toy] = Toy) -> None:
        self.model = model

    async def reconcile(self, p: Pass[Toy]) -> Result:
        """See the module."""
        spec, status = p.obj.spec, p.status
        if spec.size > 100:
            raise Invalid("TooLarge", "spec.size is at most 100; write a smaller one")
        if spec.hang:
            status.phase = "Hanging"
            await p.latch()
            await asyncio.Event().wait()
        if spec.fail:
            raise RuntimeError("password=hunter2 was refused")
        await self._await(p)
        live = await p.kube.get(kinds.CONFIGMAP, p.obj.name, p.obj.namespace)
        made, change = await ensure(p.kube, config_map(p.obj), live)
        status.size = int(made["data"]["size"])
        p.log.info("ensured", change=change)
        if change != "none":
            status.passes += 1
            p.event("Resized", f"the size is now {spec.size}")
        status.phase = "Running"
        generation = p.obj.metadata.generation
        status.set_condition("Ready", True, "Made", now=p.now, generation=generation)
        return Result()

    async def _await(self, p: Pass[Toy]) -> None:
        name = p.obj.spec.wait
        if name and await p.kube.get(kinds.CONFIGMAP, name, p.obj.namespace) is None:
            raise Wait("NoConfigMap", f"ConfigMap {name} does not exist yet", after=0.2)

    async def finalize(self, p: Pass[Toy]) -> Result | Done:
        """Deletes the ConfigMap, which must first lose its annotation `HOLD`."""
        live = await p.kube.get(kinds.CONFIGMAP, p.obj.name, p.obj.namespace)
        if live is None:
            return DONE
        if HOLD in (live["metadata"].get("annotations") or {}):
            raise Wait("Held", f"ConfigMap {p.obj.name} is held back by somebody", after=60)
        await p.kube.delete(kinds.CONFIGMAP, p.obj.name, p.obj.namespace)
        return Result(requeue_after=0.1)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is kept."""


def config_map(toy: Toy) -> Manifest:
    """The child of a Toy."""
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": toy.name},
        "data": {"size": str(toy.spec.size)},
    }
    return owned(manifest, toy)


def toy(name: str, namespace: str, kind: Kind = TOY, **spec: Any) -> Manifest:
    """A Toy as a user writes it."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def crd(kind: Kind) -> Manifest:
    """The definition of one of the two kinds."""
    free: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": free, "status": free},
                        }
                    },
                }
            ],
        },
    }


def operator() -> OperatorSpec:
    """The toy operator."""
    return OperatorSpec(name="toy", reconcilers=(ToyReconciler(),))


def doll_operator() -> OperatorSpec:
    """The doll operator."""
    return OperatorSpec(name="doll", reconcilers=(ToyReconciler(Doll),))


if __name__ == "__main__":
    from kok.cli.identity import from_environment
    from kok.cli.options import KubectlOptions
    from kok.runtime.process.main import run
    from kok.runtime.settings import Settings

    run([operator()], Settings(), from_environment(KubectlOptions()))
