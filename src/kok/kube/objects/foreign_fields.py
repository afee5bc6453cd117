"""What others added to the spec of an object that is ours as a whole, and how it is taken out.

Server-side apply lets everybody own fields of one object, so that `hostNetwork: true` which
somebody patched into a pod template of ours survives every apply of ours. Who wrote a field is
recorded in `metadata.managedFields`, what the API server itself filled in is not: a field there
that our intent does not name was added, and goes. What matters most, see `kok.kube.objects.forbidden_fields`, goes
whatever is recorded. Nothing is done about what else nobody wrote, which are defaults and what
admission webhooks put in: removing these would be a fight without end.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.objects.drift import merge_keys
from kok.kube.objects.forbidden_fields import Pointer, risky

MANY: Final = 4096
"""Additions that are looked for; who adds more has the rest found once these are gone. The API
server takes 10,000 steps in one patch."""

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
_LONGEST: Final = 1024
"""Characters of a key of the record; names have 253, paths where something is mounted more."""
_DEFAULT: Final = ("protocol", "TCP")
"""What the API server fills in within values that count as one."""


@dataclass(frozen=True, slots=True)
class Additions:
    """What was found in the spec of a live object and is not in the intent."""

    fields: frozenset[Pointer] = frozenset()
    """Fields and items of lists that can be removed."""
    risky: frozenset[Pointer] = frozenset()
    """Those of them that matter most."""
    within: frozenset[str] = frozenset()
    """Values that count as one for the API server and have more in them than the intent: an apply
    writes them anew."""


def additions(live: Manifest, intent: Manifest) -> Additions:
    """What others added below `spec`, by the record of the API server; empty for other kinds."""
    if (live.get("apiVersion"), live.get("kind")) not in _NAMES or "spec" not in intent:
        return Additions()
    dangerous = frozenset(islice(risky(live, intent), MANY))
    if not live["metadata"].get("managedFields"):
        # Somebody erased the record; an apply begins a new one, in which everything stands.
        erased = frozenset({"metadata.managedFields", *_wider(live, intent)})
        return Additions(dangerous, dangerous, erased)
    fields: set[Pointer] = set()
    within = set(_wider(live, intent))
    for pointer, whole in islice(_Records(live, intent).additions(), MANY):
        if not whole:
            fields.add(pointer)
        else:
            within.add(".".join(map(str, pointer)))
    return Additions(_outermost(fields | dangerous), dangerous, frozenset(within))


def _wider(live: Manifest, intent: Manifest) -> Iterator[str]:
    """Rules of a NetworkPolicy that have more in them than the intent, whoever wrote that: one
    selector beside another opens the policy."""
    if live["kind"] == kinds.NETWORKPOLICY.kind:
        spec = live.get("spec") or {}
        for part in ("ingress", "egress"):
            if _exceeds(spec.get(part), intent["spec"].get(part), empty=True):
                yield f"spec.{part}"


def _outermost(fields: set[Pointer]) -> frozenset[Pointer]:
    """Without what goes with something else: it could not be removed a second time."""
    return frozenset(
        one for one in fields if not any(one[:length] in fields for length in range(1, len(one)))
    )


def marks(live: Manifest, fields: frozenset[Pointer]) -> dict[Pointer, str]:
    """What tells additions from others: where they are, and what they are.

    A place in a list tells nothing: another item may be there the next time.
    """
    found: dict[Pointer, str] = {}
    for pointer in fields:
        value: Any = live
        for part in pointer:
            value = value[part]
        text = json.dumps(value, sort_keys=True)
        where = [part for part in pointer if isinstance(part, str)]
        found[pointer] = hashlib.sha256(json.dumps([where, text]).encode()).hexdigest()
    return found


def removal(live: Manifest, fields: frozenset[Pointer]) -> list[dict[str, Any]]:
    """The JSON patch that takes fields out of that very version of the object.

    Later items of a list first: each removal moves those behind it.
    """
    version = live["metadata"].get("resourceVersion")
    # A `test` that fails is told as an invalid patch, another version as the conflict that it is.
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    ordered = sorted(fields, key=_place, reverse=True)
    return [guard, *({"op": "remove", "path": _text(pointer)} for pointer in ordered)]


_MARGIN = 1.0
"""Seconds by which clocks and timers may differ."""


class RemovalLimit:
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
        self._tolerated: OrderedDict[str, frozenset[str]] = OrderedDict()

    def allows(self, uid: str) -> bool:
        """Whether something may be removed from that object now; counts as a removal if so."""
        allowed = self.patience(uid) <= 0
        times = self._removed.pop(uid, deque())
        if allowed:
            times.append(self._clock())
        self._keep(self._removed, uid, times)
        return allowed

    def patience(self, uid: str) -> float:
        """Seconds after which something may be removed from that object again."""
        now, times = self._clock(), self._removed.get(uid, deque())
        while times and now - times[0] > self._window:
            times.popleft()
        return max(0.0, times[0] + self._window - now) + _MARGIN if self._full(times) else 0.0

    def _full(self, times: Sequence[float]) -> bool:
        return len(times) >= self._limit

    def tolerate(self, uid: str, found: frozenset[str]) -> None:
        """Remembers what the API server itself put back at once, or would not let go, by `marks`."""
        self._tolerated.pop(uid, None)
        if found:
            self._keep(self._tolerated, uid, found)

    def tolerated(self, uid: str) -> frozenset[str]:
        """What is known not to go from that object, by `marks`."""
        return self._tolerated.get(uid, frozenset())

    def _keep(self, known: OrderedDict[str, Any], uid: str, value: Any) -> None:
        known[uid] = value
        if len(known) > self._remembered:
            known.popitem(last=False)


class _Records:
    """What the API server recorded of the writers of a spec, against what is there and wanted.

    Who may write the object writes records as well: how many there are, and what they name. So each
    part of the spec is gone through once, whatever points at it.
    """

    def __init__(self, live: Manifest, intent: Manifest) -> None:
        self._live = live
        self._intent = intent
        self._places: dict[Pointer, tuple[_Places, _Places]] = {}
        self._judged: set[Pointer] = set()
        """Values that count as one which were compared already."""

    def additions(self) -> Iterator[tuple[Pointer, bool]]:
        """Pointers to what is not in the intent, and whether it lies within a value that is one."""
        for record in self._live["metadata"]["managedFields"]:
            # Subresources: `status`, and `scale`, whose one field is part of the intent.
            tree = (record.get("fieldsV1") or {}).get("f:spec")
            if tree and not record.get("subresource"):
                yield from self._walk(tree, self._live.get("spec"), self._intent["spec"], ("spec",))

    def _walk(
        self, tree: Any, live: Any, intent: Any, path: Pointer
    ) -> Iterator[tuple[Pointer, bool]]:
        if not tree:
            if path not in self._judged and _exceeds(live, intent):
                yield path, True
            self._judged.add(path)
            return
        if path not in self._places:
            self._places[path] = _Places(live, path), _Places(intent, path)
        theirs, ours = self._places[path]
        for key, below in tree.items():
            step = theirs.of(key)
            if step is None:
                continue
            here = (*path, step)
            if here in _OTHERS or _given_out(here):
                continue
            same = ours.of(key)
            wanted = None if same is None else intent[same]
            if wanted is not None or here in _ROADS:
                yield from self._walk(below, live[step], {} if wanted is None else wanted, here)
            else:
                yield here, False


def _given_out(path: Pointer) -> bool:
    return path[-1] in _GIVEN_OUT and (len(path) == 2 or path[1] == "ports")


class _Places:
    """Where keys of the record lead in a value, live or wanted.

    A list is gone through once for all keys of the kind by which Kubernetes tells its items apart,
    and for no others: whoever writes records decides on how many they are, and how long the list is.
    """

    def __init__(self, value: Any, path: Pointer) -> None:
        self._value = value
        self._keys = tuple(sorted(merge_keys(tuple(map(str, path))) or ()))
        self._found: dict[tuple[str, ...], dict[str, int]] = {}

    def of(self, key: str) -> str | int | None:
        """None if it is not there any more."""
        what, _, name = key.partition(":")
        if what == "f":
            there = isinstance(self._value, Mapping) and name in self._value
            return name if there else None
        if what not in {"k", "v"} or not _is_list(self._value) or len(name) > _LONGEST:
            return None
        try:
            named = json.loads(name)
        except (ValueError, RecursionError):
            return None
        keys, parts = ((), (named,)) if what == "v" else _keyed(named)
        if keys not in ((), self._keys) or not all(map(_is_plain, parts)):
            return None
        return self._index(keys).get(_canonical(named))

    def _index(self, keys: tuple[str, ...]) -> dict[str, int]:
        """Places of items, by themselves or by the values of some keys; the first one counts."""
        if keys not in self._found:
            index: dict[str, int] = {}
            for place, item in enumerate(self._value):
                if isinstance(item, Mapping) and keys:
                    index.setdefault(_canonical(_named(item, keys)), place)
                elif _is_plain(item) and not keys:
                    index.setdefault(_canonical(item), place)
            self._found[keys] = index
        return self._found[keys]


def _keyed(named: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Keys and values by which an item is named."""
    found = named if isinstance(named, Mapping) else {"": named}
    return tuple(sorted(found)), tuple(found.values())


def _named(item: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The item's values of these keys; a protocol that is not written is TCP."""
    field, default = _DEFAULT
    return {key: item.get(key, default if key == field else None) for key in keys}


def _is_plain(value: Any) -> bool:
    """Items are told apart by texts and numbers alone."""
    return value is None or isinstance(value, str | int | float)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _exceeds(live: Any, intent: Any, *, empty: bool = False) -> bool:
    """Whether a value has fields, at any depth, that the intent does not have.

    With `empty` also those that hold nothing: an empty selector means everything.
    """
    if isinstance(live, Mapping) and isinstance(intent, Mapping):
        return any(
            _exceeds(value, intent[key], empty=empty)
            if intent.get(key) is not None
            else (empty or bool(value)) and (key, value) != _DEFAULT
            for key, value in live.items()
        )
    if _is_list(live) and _is_list(intent) and len(live) == len(intent):
        return any(
            _exceeds(one, other, empty=empty) for one, other in zip(live, intent, strict=True)
        )
    return False


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _place(pointer: Pointer) -> tuple[tuple[int, str], ...]:
    return tuple((part, "") if isinstance(part, int) else (-1, part) for part in pointer)


def _text(pointer: Pointer) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
