"""What others added to the spec of an object that is ours as a whole, and how it is taken out.

Server-side apply lets everybody own fields of one object, so that `hostNetwork: true` which
somebody patched into a pod template of ours survives every apply of ours. Who wrote a field is
recorded in `metadata.managedFields`, what the API server itself filled in is not: a field there
that our intent does not name was added, and goes. Nothing is done about what nobody wrote, which
are defaults and what admission webhooks put in: removing these would be a fight without end.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kok.api.meta import Kind, Manifest
from kok.kube import kinds

Pointer = tuple[str | int, ...]
"""The way to a field: names of fields, and places in lists."""

WHOLE: Final[frozenset[Kind]] = frozenset(
    {kinds.DEPLOYMENT, kinds.STATEFULSET, kinds.SERVICE, kinds.PDB, kinds.NETWORKPOLICY}
)
"""Kinds of which nobody else has a say in the spec."""
_NAMES = frozenset((kind.api_version, kind.kind) for kind in WHOLE)

_TEMPLATE_NOTES: Final = ("spec", "template", "metadata", "annotations")
_ROADS: Final = frozenset(_TEMPLATE_NOTES[:length] for length in (2, 3, 4))
"""Where something lies that others may set: never removed as a whole."""
_OTHERS: Final = frozenset(
    {
        # `kubectl rollout restart` restarts once and stays legal.
        (*_TEMPLATE_NOTES, "kubectl.kubernetes.io/restartedAt"),
        # Nobody can change these, and the API server fills in a lot.
        ("spec", "volumeClaimTemplates"),
    }
)
"""What is never looked at."""
_GIVEN_OUT: Final = frozenset(
    {
        "allocateLoadBalancerNodePorts",
        "clusterIP",
        "clusterIPs",
        "healthCheckNodePort",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerClass",
        "loadBalancerIP",
        "nodePort",
    }
)
"""Of a Service: what the API server and controllers of load balancers write there."""
_DEFAULT: Final = ("protocol", "TCP")
"""What the API server fills in within values that count as one."""


@dataclass(frozen=True, slots=True)
class Additions:
    """What was found in the spec of a live object and is not in the intent."""

    fields: frozenset[Pointer] = frozenset()
    """Fields and items of lists that can be removed."""
    within: frozenset[str] = frozenset()
    """Values that count as one for the API server and have more in them than the intent: an apply
    writes them anew."""


def additions(live: Manifest, intent: Manifest) -> Additions:
    """What others added below `spec`, by the record of the API server; empty for other kinds."""
    if (live.get("apiVersion"), live.get("kind")) not in _NAMES or "spec" not in intent:
        return Additions()
    records = live["metadata"].get("managedFields")
    if not records:
        # Somebody erased the record; an apply begins a new one, in which everything stands.
        return Additions(within=frozenset({"metadata.managedFields"}))
    fields: set[Pointer] = set()
    within: set[str] = set()
    for record in records:
        # Subresources: `status`, and `scale`, whose one field is part of the intent.
        if record.get("subresource"):
            continue
        tree = (record.get("fieldsV1") or {}).get("f:spec") or {}
        for pointer, whole in _walk(tree, live.get("spec"), intent["spec"], ("spec",)):
            if not whole:
                fields.add(pointer)
            else:
                within.add(".".join(map(str, pointer)))
    return Additions(frozenset(fields), frozenset(within))


def removal(live: Manifest, fields: frozenset[Pointer]) -> list[dict[str, Any]]:
    """The JSON patch that takes fields out of that very version of the object.

    Later items of a list first: each removal moves those behind it.
    """
    version = live["metadata"].get("resourceVersion")
    # A `test` that fails is told as an invalid patch, another version as the conflict that it is.
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    ordered = sorted(fields, key=_place, reverse=True)
    return [guard, *({"op": "remove", "path": _text(pointer)} for pointer in ordered)]


class Contest:
    """How often what keeps coming back is removed: two controllers must not fight for ever."""

    def __init__(
        self,
        limit: int = 5,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        remembered: int = 4096,
    ) -> None:
        """`limit` removals from one object in `window` seconds."""
        self._limit = limit
        self._window = window
        self._clock = clock
        self._remembered = remembered
        self._removed: OrderedDict[str, deque[float]] = OrderedDict()
        self._tolerated: OrderedDict[str, frozenset[Pointer]] = OrderedDict()

    def allows(self, uid: str) -> bool:
        """Whether something may be removed from that object now; counts as a removal if so."""
        now = self._clock()
        times = self._removed.pop(uid, deque())
        while times and now - times[0] > self._window:
            times.popleft()
        allowed = len(times) < self._limit
        if allowed:
            times.append(now)
        self._keep(self._removed, uid, times)
        return allowed

    def tolerate(self, uid: str, fields: frozenset[Pointer]) -> None:
        """Remembers what the API server itself put back at once, or would not let go."""
        self._tolerated.pop(uid, None)
        if fields:
            self._keep(self._tolerated, uid, fields)

    def tolerated(self, uid: str) -> frozenset[Pointer]:
        """What is known not to go from that object."""
        return self._tolerated.get(uid, frozenset())

    def _keep(self, known: OrderedDict[str, Any], uid: str, value: Any) -> None:
        known[uid] = value
        if len(known) > self._remembered:
            known.popitem(last=False)


def _walk(tree: Any, live: Any, intent: Any, path: Pointer) -> Iterator[tuple[Pointer, bool]]:
    """Pointers to what is not in the intent, and whether it lies within a value that is one."""
    if not tree:
        if _exceeds(live, intent):
            yield path, True
        return
    for key, below in tree.items():
        step = _step(key, live)
        if step is None:
            continue
        here = (*path, step)
        if here in _OTHERS or _given_out(here):
            continue
        wanted = _wanted(key, step, intent)
        if wanted is not None or here in _ROADS:
            yield from _walk(below, live[step], {} if wanted is None else wanted, here)
        else:
            yield here, False


def _given_out(path: Pointer) -> bool:
    return path[-1] in _GIVEN_OUT and (len(path) == 2 or path[1] == "ports")


def _step(key: str, live: Any) -> str | int | None:
    """Where a key of the record leads in the live object; None if it is not there any more."""
    what, _, name = key.partition(":")
    if what == "f":
        return name if isinstance(live, Mapping) and name in live else None
    if what == "k" and _is_list(live):
        return _place_of(json.loads(name), live)
    if what == "v" and _is_list(live):
        value = json.loads(name)
        return live.index(value) if value in live else None
    return None


def _wanted(key: str, step: str | int, intent: Any) -> Any:
    """The same place in the intent; None if the intent does not have it."""
    if isinstance(step, str):
        return intent.get(step) if isinstance(intent, Mapping) else None
    if not _is_list(intent):
        return None
    name = json.loads(key.partition(":")[2])
    if key.startswith("v:"):
        return name if name in intent else None
    found = _place_of(name, intent)
    return None if found is None else intent[found]


def _place_of(keys: Mapping[str, Any], items: Sequence[Any]) -> int | None:
    """The item of a list that has these keys; a protocol that is not written is TCP."""
    for place, item in enumerate(items):
        if isinstance(item, Mapping) and all(
            item.get(key, dict([_DEFAULT]).get(key)) == value for key, value in keys.items()
        ):
            return place
    return None


def _exceeds(live: Any, intent: Any) -> bool:
    """Whether a value has fields, at any depth, that the intent does not have."""
    if isinstance(live, Mapping) and isinstance(intent, Mapping):
        return any(
            _exceeds(value, intent[key])
            if intent.get(key) is not None
            else bool(value) and (key, value) != _DEFAULT
            for key, value in live.items()
        )
    if _is_list(live) and _is_list(intent) and len(live) == len(intent):
        return any(_exceeds(one, other) for one, other in zip(live, intent, strict=True))
    return False


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _place(pointer: Pointer) -> tuple[tuple[int, str], ...]:
    return tuple((part, "") if isinstance(part, int) else (-1, part) for part in pointer)


def _text(pointer: Pointer) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
