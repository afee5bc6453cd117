"""Fields of a spec that must not be there unless our intent has them, whoever wrote them. Pure.

Who wrote a field is recorded in `metadata.managedFields`, and whoever may write the object may write
that record as well. What gives pods rights, code, data or ways out is therefore compared by value.
None of these fields has a default of the API server.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.objects.drift import Path, key_of, merge_keys

Pointer = tuple[str | int, ...]
"""The way to a field: names of fields, and places in lists."""

_POD: Final = (
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "shareProcessNamespace",
    "securityContext",
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeName",
    "runtimeClassName",
    "activeDeadlineSeconds",
    "dnsConfig",
    "hostAliases",
    "imagePullSecrets",
    "resourceClaims",
    "initContainers",
    "ephemeralContainers",
    "containers",
    "volumes",
)
"""What is worst comes first: where there is too much for one pass it goes with the first."""
_CONTAINER: Final = (
    "args",
    "command",
    "env",
    "envFrom",
    "lifecycle",
    "securityContext",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
)
_ITEMS: Final = {"env": "name", "volumeMounts": "mountPath"}
"""Lists of a container, and by what their items are told apart."""
_HOST_PORT: Final = ("hostIP", "hostPort")
_SERVICE: Final = ("externalIPs", "externalName", "publishNotReadyAddresses", "selector")
_NETWORK: Final = ("egress", "ingress", "podSelector")
_TEMPLATES: Final = frozenset({kinds.DEPLOYMENT.kind, kinds.STATEFULSET.kind})


def risky(live: Manifest, intent: Manifest) -> Iterator[Pointer]:
    """Where the live object has such a field, or an item in such a list, and the intent has not."""
    kind, spec, wanted = live.get("kind"), live.get("spec"), intent["spec"]
    if kind in _TEMPLATES:
        at: Pointer = ("spec", "template")
        yield from _template(_in(spec, "template"), _in(wanted, "template"), at)
    elif kind == kinds.SERVICE.kind:
        yield from _fields(_SERVICE, spec, wanted, ("spec",))
    elif kind == kinds.NETWORKPOLICY.kind:
        yield from _fields(_NETWORK, spec, wanted, ("spec",))


def _template(live: Any, want: Any, at: Pointer) -> Iterator[Pointer]:
    labels = (*at, "metadata")
    # Labels decide which NetworkPolicies and Services mean a pod.
    yield from _fields(("labels",), _in(live, "metadata"), _in(want, "metadata"), labels)
    pod, wanted, at = _in(live, "spec"), _in(want, "spec"), (*at, "spec")
    yield from _fields(_POD, pod, wanted, at)
    if not _in(wanted, "serviceAccountName"):
        # The former name, which the API server writes beside the present one.
        yield from _fields(("serviceAccount",), pod, wanted, at)
    yield from _in_items(pod, wanted, "volumes", "name", at)
    for field in ("initContainers", "containers"):
        names = {one["name"]: one for one in _items(_in(wanted, field))}
        for place, one in enumerate(_items(_in(pod, field))):
            if (ours := names.get(one.get("name"))) is not None:
                yield from _container(one, ours, (*at, field, place))


def _container(live: Any, want: Any, at: Pointer) -> Iterator[Pointer]:
    yield from _fields(_CONTAINER, live, want, at)
    for field, key in _ITEMS.items():
        yield from _in_items(live, want, field, key, at)
    ports = {_port(one): one for one in _items(_in(want, "ports"))}
    for place, one in enumerate(_items(_in(live, "ports"))):
        here = (*at, "ports", place)
        if (ours := ports.get(_port(one))) is not None:
            yield from _fields(_HOST_PORT, one, ours, here)
        elif any(one.get(field) for field in _HOST_PORT):
            yield here


def _in_items(live: Any, want: Any, field: str, key: str, at: Pointer) -> Iterator[Pointer]:
    """Fields of the same item in a list: an empty volume could become one of the host's."""
    known = {one.get(key): one for one in _items(_in(want, field))}
    for place, one in enumerate(_items(_in(live, field))):
        if (ours := known.get(one.get(key))) is not None:
            yield from ((*at, field, place, more) for more in one if one[more] and more not in ours)


def _port(one: Mapping[str, Any]) -> tuple[Any, Any]:
    return one.get("containerPort"), one.get("protocol", "TCP")


def _fields(names: Sequence[str], live: Any, want: Any, at: Pointer) -> Iterator[Pointer]:
    for name in names:
        if found := _in(live, name):
            yield from _beyond(found, _in(want, name), (*at, name))


def _beyond(live: Any, want: Any, at: Pointer) -> Iterator[Pointer]:
    """What is there and not wanted; whatever both have is for `kok.kube.objects.drift` to compare."""
    if want is None or want in ({}, []):
        yield at
    elif isinstance(live, Mapping) and isinstance(want, Mapping):
        yield from _fields(list(live), live, want, at)
    elif isinstance(live, list) and isinstance(want, list):
        path: Path = tuple(part for part in at if isinstance(part, str))
        keys = merge_keys(path)
        if keys is None:
            return
        known: set[Hashable] = {key_of(item, keys) for item in want}
        for place, item in enumerate(live):
            if key_of(item, keys) not in known:
                yield (*at, place)


def _in(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value or () if isinstance(one, Mapping)]
