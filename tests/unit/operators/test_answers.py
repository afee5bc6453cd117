"""Nothing that a business cluster answers breaks what looks at it, or is kept at any length.

Which fields are looked at is not listed here: an honest object writes down itself what is read of
it. Then each of these fields gets values that no API server would send.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from kok.kube.discovery import Discovery
from kok.kube.errors import KubeError, error_of
from kok.kube.lists.pages import has_metadata, is_object
from kok.operators.cluster.addon.crashes import pod_error_of
from kok.operators.cluster.addon.health import workload_of
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.businesscluster.watches import node_ready
from kok.operators.machine.node import bootstrap_tokens, nodes
from kok.operators.machine.node.drain import leaving
from kok.workload import unmanaged_nodes
from kok.workload.csr import request_of

Path = tuple[str | int, ...]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
META = {
    "name": "one",
    "namespace": "default",
    "uid": "uid-1",
    "resourceVersion": "1",
    "generation": 2,
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "deletionTimestamp": "2026-01-01T00:00:00Z",
    "ownerReferences": [{"kind": "ReplicaSet", "controller": True}],
}


class Noted(dict[str, Any]):
    """An object that writes down which of its fields are read."""

    def __init__(self, found: dict[str, Any], path: Path, read: set[Path]) -> None:
        self._path, self._read = path, read
        super().__init__({k: noted(v, (*path, k), read) for k, v in found.items()})

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add((*self._path, key))
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._read.add((*self._path, key))
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._read.add((*self._path, str(key)))
        return super().__contains__(key)

    def items(self) -> Any:
        self._read.update((*self._path, key) for key in self)
        return super().items()


def noted(value: Any, path: Path, read: set[Path]) -> Any:
    if isinstance(value, dict):
        return Noted(value, path, read)
    if isinstance(value, list):
        return [noted(one, (*path, number), read) for number, one in enumerate(value)]
    return value


LONG, WIDE = "x" * 2**20, "\N{GRINNING FACE}" * 2**17
JUNK: list[Any] = [
    LONG,
    WIDE,
    "\ud800" * 200,
    "",
    "-1",
    None,
    True,
    -1,
    10**400,
    1.5,
    float("inf"),
    float("nan"),
    [],
    {},
    [[[]]],
    [LONG, WIDE],
    ["x" * 400] * 3000,
    [{"a": LONG}] * 100,
    {LONG: LONG, "type": LONG, "name": LONG},
    {f"{number}": "x" * 400 for number in range(3000)},
]


def spoilt(sample: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """The sample with each of the bad values in one place, without it, and with very many of it."""
    *above, last = path
    for junk in [*JUNK, "none", "many"]:
        made = copy.deepcopy(sample)
        place: Any = made
        for step in above:
            place = place[step]
        there = place.get(last) if isinstance(place, dict) else place[last]
        if junk == "none" and isinstance(place, dict):
            place.pop(last, None)
        elif junk == "many":
            place[last] = there * 3000 if isinstance(there, list) else [there] * 3000
        else:
            place[last] = junk
        yield made


def bytes_of(value: Any) -> int:
    """Bytes that a value takes with all that is in it."""
    inside: list[Any] = []
    if is_dataclass(value) and not isinstance(value, type):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif isinstance(value, KubeError):
        inside = [value.args, vars(value)]
    return sys.getsizeof(value) + sum(map(bytes_of, inside))


@dataclass(frozen=True)
class View:
    """What is made of an answer."""

    look: Callable[[Any], Any]
    sample: dict[str, Any]
    most: int
    """Bytes that are kept of it."""
    passes: Callable[[object], bool] = is_object
    """What everything that a server answers goes through before."""


def told(body: Any) -> KubeError:
    return error_of(422, json.dumps(body).encode()[: 2**16])


def discovered(answer: Any) -> Any:
    async def ask(_: str) -> Any:
        return answer

    async def kind() -> Any:
        try:
            return await Discovery(ask).kind_of({"apiVersion": "example.org/v1", "kind": "Thing"})
        except KubeError as error:
            return error

    return asyncio.run(kind())


CONTAINER = {
    "name": "c",
    "ready": False,
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "m"}},
}
WAITS = {"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "m"}}}
NODE = {
    "metadata": META,
    "spec": {"unschedulable": True, "taints": [{"key": "a", "value": "b", "effect": "NoExecute"}]},
    "status": {
        "nodeInfo": {"kubeletVersion": "v1.37.1", "machineID": "m"},
        "conditions": [
            {"type": "Ready", "status": "True", "message": "m", "lastHeartbeatTime": "2026"}
        ],
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
    },
}
WORKLOAD = {
    "metadata": META,
    "spec": {
        "replicas": 2,
        "selector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
        },
    },
    "status": {
        "observedGeneration": 2,
        "readyReplicas": 1,
        "updatedReplicas": 1,
        "desiredNumberScheduled": 2,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
    },
}
LIVING = {key: value for key, value in META.items() if key != "deletionTimestamp"}
VIEWS = {
    "node": View(nodes.view, NODE, 2**20),
    "node in the cluster operator": View(node_ready, NODE, 64),
    "addresses of a node": View(unmanaged_nodes.addresses, NODE, 2**15),
    "certificate request": View(
        request_of,
        {
            "metadata": META,
            "spec": {
                "signerName": "kubernetes.io/kubelet-serving",
                "username": "system:node:w1",
                "groups": ["system:nodes"],
                "usages": ["server auth"],
                "request": "YWJj",
            },
            "status": {},
        },
        2**17,
    ),
    "deployment": View(workload_of, {"kind": "Deployment", **WORKLOAD}, 2**14, has_metadata),
    "daemon set": View(workload_of, {"kind": "DaemonSet", **WORKLOAD}, 2**14, has_metadata),
    "pod that crashes": View(
        lambda pod: pod_error_of([pod]),
        {"metadata": LIVING, "status": {"containerStatuses": [CONTAINER]}},
        2**13,
    ),
    "pod that does not start": View(
        lambda pod: pod_error_of([pod]),
        {"metadata": LIVING, "status": {"initContainerStatuses": [WAITS]}},
        2**13,
    ),
    "pod that no node takes": View(
        lambda pod: pod_error_of([pod]),
        {
            "metadata": LIVING,
            "status": {
                "conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]
            },
        },
        2**13,
    ),
    "pod that leaves": View(
        leaving,
        {
            "metadata": {**META, "deletionGracePeriodSeconds": 5},
            "spec": {"terminationGracePeriodSeconds": 30},
            "status": {"phase": "Running"},
        },
        2**13,
    ),
    "token": View(
        lambda found: bootstrap_tokens.usable(found, NOW),
        bootstrap_tokens.secret("abc123", "team-a/w1", NOW),
        2**10,
        has_metadata,
    ),
    "rights": View(rbac.differs, rbac.objects()[0], 64),
    "refusal": View(
        told,
        {
            "message": "no",
            "reason": "Invalid",
            "details": {"name": "one", "retryAfterSeconds": 1, "causes": []},
        },
        2**15,
        lambda _: True,
    ),
    "kinds": View(
        discovered,
        {"resources": [{"kind": "Thing", "name": "things", "namespaced": True}]},
        2**13,
        lambda _: True,
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_no_field_breaks_what_looks_at_it_or_is_kept_at_any_length(name: str) -> None:
    view = VIEWS[name]
    read: set[Path] = set()
    assert view.passes(view.sample)
    seen = view.look(noted(view.sample, (), read) if name != "refusal" else view.sample)
    assert seen is not None
    # An answer to a refusal is parsed by what looks at it.
    paths = read or set(every(view.sample))
    paths |= {("metadata", key) for key in META if "metadata" in view.sample}
    for path in sorted(paths, key=repr):
        for answer in spoilt(view.sample, path):
            if not view.passes(answer):
                continue
            kept = bytes_of(view.look(answer))
            assert kept <= view.most, (path, kept)


def every(found: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    """All fields of an object."""
    for key, value in found.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from every(value, (*above, key))


@pytest.mark.parametrize("junk", [one for one in JUNK if not isinstance(one, dict)])
def test_what_is_no_object_at_all_passes_nowhere(junk: Any) -> None:
    assert not is_object(junk)
    assert not has_metadata(junk)
    assert not has_metadata({"metadata": junk})
    assert isinstance(discovered(junk), KubeError)
