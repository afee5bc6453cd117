"""Machines as others look at them: whose hosts and nodes they are, what software they use, and
next to nothing else.

A namespace may have thousands, all of them in memory at a time, and whoever writes them decides on
how much else is in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from kok.api.meta import Manifest
from kok.kube.decoding.truncation import MARK

_META: Final = ("namespace", "name", "uid", "creationTimestamp", "deletionTimestamp")
_SPEC: Final = ("cluster", "node", "address", "addresses", "port", "ssh")
_STATUS: Final = ("tokenId", "sshSecret", "jumpSecret")
_FACTS: Final = ("hostname", "machineID")
_FAULT: Final = ("fault", "since", "well")
_SOFTWARE: Final = ("name", "version")
_OPERATION: Final = ("type", "step", "since")
_OWNER: Final = ("apiVersion", "kind", "name", "uid", "controller")


def brief(machine: Manifest) -> Manifest:
    """For `keep` of a list: a Machine in some hundred bytes, which can be parsed as one."""
    meta, spec, status = machine["metadata"], machine.get("spec") or {}, machine.get("status") or {}
    owners = (o for o in meta.get("ownerReferences") or () if o.get("controller"))
    # What was installed says no more here than that something was.
    touched = any(c.get("job") or c.get("config") for c in status.get("components") or ())
    return {
        **picked(machine, ("apiVersion", "kind", MARK)),
        "metadata": {
            **picked(meta, _META),
            "ownerReferences": [picked(one, _OWNER) for one in islice(owners, 1)],
        },
        "spec": {
            **picked(spec, _SPEC),
            "components": [picked(one, _SOFTWARE) for one in spec.get("components") or ()],
        },
        "status": {
            **picked(status, _STATUS),
            "facts": picked(facts, _FACTS) if (facts := status.get("facts")) else None,
            "operation": picked(now, _OPERATION) if (now := status.get("operation")) else None,
            "components": [{"name": "any", "config": "any"}] if touched else [],
            "remediation": picked(fault, _FAULT) if (fault := status.get("remediation")) else None,
        },
    }


def picked(fields: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """These fields of an object, as far as they are there."""
    return {key: fields[key] for key in wanted if key in fields}
