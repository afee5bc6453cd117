"""What of a Machine's spec disturbs its node, and specs with only some of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from kok.api import names
from kok.api.machine.machine import GoodSoftware, Machine
from kok.api.meta import Manifest
from kok.kube.objects.drift import covers
from kok.operators.machine.machine import last_good
from kok.operators.machine.remote import host_paths

ROLLED: Final = ("components", "artifacts", "adopt")
"""Fields of a Machine's spec that a rollout changes: nodes that were adopted and are to be no longer
as they were found get what the spec says."""
SOFTWARE: Final = (*ROLLED, "addresses")
"""Fields that change what is on the host: of its addresses the kubelet is told which one is the
node's."""
ACCESS: Final = ("accessHash",)
"""By which it has the node turn to another address or CA. First, as without it nothing else works."""


def disturbs(intent: Manifest, live: Manifest) -> bool:
    """Whether the intent changes anything that nodes notice."""
    return differs(intent, live, ACCESS + SOFTWARE)


def differs(intent: Manifest, live: Manifest, fields: Collection[str]) -> bool:
    """Whether the intent has other values in any of these fields of the spec."""
    wanted, found = intent["spec"], live["spec"]
    return not all(
        _same(field, found.get(field), wanted.get(field))
        for field in fields
        # An address that is not known is no other one, and to be told of the first changes nothing.
        if field not in ACCESS or (found.get(field) and wanted.get(field))
    )


def _same(field: str, found: Any, wanted: Any) -> bool:
    if field == "adopt":
        # A node that serves is not adopted any more, so that it disturbs nobody to ask for that.
        return bool(wanted) or not found
    if field == "components":
        # A parameter that is taken away is a change as well: what it was must not stay.
        return _software(found) == _software(wanted)
    return covers({"spec": found}, {"spec": wanted}) and _empty(found) == _empty(wanted)


def _software(components: Any) -> dict[str, tuple[str, Any]]:
    return {c["name"]: (str(c["version"]), c.get("params") or {}) for c in components or ()}


def _empty(value: object) -> bool:
    """Whether nothing is said: what the API server fills in by default says nothing either."""
    return not (any(value.values()) if isinstance(value, Mapping) else value)


def known(intent: Manifest, live: Manifest | None) -> Manifest:
    """The intent, with the access that the Machine has where no other one is known at the moment."""
    found = {f: v for f, v in (live or {"spec": {}})["spec"].items() if f in ACCESS}
    return {**intent, "spec": {**found, **intent["spec"]}}


def without(intent: Manifest, live: Manifest, fields: Collection[str]) -> Manifest:
    """The intent with these fields as they are."""
    kept = {field: live["spec"][field] for field in fields if field in live["spec"]}
    # To ask for that disturbs nobody, so that it waits for no turn.
    kept |= {"adopt": True} if intent["spec"].get("adopt") else {}
    first = {f: v for f, v in intent["spec"].items() if f in ACCESS and f not in live["spec"]}
    rest = {key: value for key, value in intent["spec"].items() if key not in fields}
    return {**intent, "spec": {**rest, **first, **kept}}


def with_good(intent: Manifest, good: GoodSoftware) -> Manifest:
    """The intent with software that has proven itself."""
    rest = {key: value for key, value in intent["spec"].items() if key not in ROLLED}
    components = [_plain(c.manifest()) for c in good.components]
    artifacts = good.artifacts.manifest() if good.artifacts.base_url else {}
    more: dict[str, Any] = {"artifacts": artifacts} if artifacts else {}
    more |= {"adopt": True} if good.adopt else {}
    return {**intent, "spec": {**rest, "components": components, **more}}


def prefetching(machine: Manifest, wish: Manifest) -> Manifest:
    """The Machine, told to fetch what it will need."""
    has = {(c["name"], c["version"]) for c in machine["spec"].get("components") or ()}
    new = [c for c in wish["spec"].get("components") or () if (c["name"], c["version"]) not in has]
    if not new:
        return machine
    named = ",".join(sorted(names.component(c["name"], c["version"]) for c in new))
    meta = machine["metadata"]
    notes = {**(meta.get("annotations") or {}), names.ANNOTATION_PREFETCH: named}
    return {**machine, "metadata": {**meta, "annotations": notes}}


def software(manifest: Manifest) -> str:
    """Hash of the software that a Machine is told to have."""
    return last_good.of(Machine.parse({**manifest, "status": {}}))


def kubelet(manifest: Manifest) -> str:
    """The version of the kubelet in the spec of a Machine; empty if it has none."""
    listed = manifest["spec"].get("components") or ()
    return next((str(c["version"]) for c in listed if c["name"] == host_paths.KUBELET), "")


def _plain(component: Manifest) -> Manifest:
    return {key: value for key, value in component.items() if key != "params" or value}
