"""What of a host is left as it was found when that was adopted. Pure.

Of each component its Machine remembers what the spec said of it then. As long as the spec says the
same, and nobody has begun to install it, it stays as it is, whatever differs: the host bears a mark in
its place that the first job takes away. Once it was changed, it is like everything that KOK installed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from kok.api.machine.adoption import Adoption
from kok.api.machine.machine import Machine, MachineComponent, MachineStatus
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.survey import Found

MARK: Final = "adopted"
"""On the host, in the place of the hash of a configuration that was applied."""
_SHOWN = 3


def declared(component: MachineComponent) -> str:
    """Hash of what a spec says of a component."""
    text = json.dumps([component.version, component.params], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept(machine: Machine, status: MachineStatus) -> frozenset[str]:
    """The components that are left as they were found, by what is recorded."""
    if status.adopted is None or not machine.spec.adopt:
        return frozenset()
    known = {c.name: c.declared for c in status.adopted.components}
    listed = machine.spec.components
    return frozenset(c.name for c in listed if known.get(c.name) == declared(c))


def held(view: MachineView) -> frozenset[str]:
    """The same, by what the host says where it was seen."""
    names, survey = kept(view.machine, view.status), view.memory.survey
    if survey is None or not names:
        return names
    return frozenset(n for n in names if survey.found.get(n, Found()).recorded == MARK)


def kubelet(view: MachineView) -> bool:
    """Whether the kubelet is left as it was found."""
    return host_paths.KUBELET in held(view)


def unmarked(view: MachineView) -> frozenset[str]:
    """Components that are recorded as adopted and of which nothing is on a host that is marked as the
    Machine's: whoever adopted it did not come to the end."""
    names, survey = kept(view.machine, view.status), view.memory.survey
    if survey is None or not names or not view.mine:
        return frozenset()
    return frozenset(n for n in names if not survey.found.get(n, Found()).begun)


def own_way(view: MachineView) -> bool:
    """Whether the way by which the kubelet reaches its cluster is left as it was found."""
    known, endpoint = view.status.adopted, view.objects.endpoint
    if known is None or not view.machine.spec.adopt or endpoint is None:
        return False
    return known.access == endpoint.digest


def remembered(known: Adoption | None, view: MachineView) -> Adoption | None:
    """The record without what was changed since; `view` is of a host that was compared with the spec."""
    survey = view.memory.survey
    if known is None or survey is None or not view.mine:
        return known
    listed = {c.name for c in view.machine.spec.components}
    left = [
        c
        for c in known.components
        if c.name in listed and _untouched(survey.found.get(c.name, Found()))
    ]
    return known if left == known.components else known.model_copy(update={"components": left})


def _untouched(found: Found) -> bool:
    return not found.begun or found.recorded == MARK


def differences(known: Adoption, name: str) -> str:
    """What of a component was otherwise than the spec says, as a sentence."""
    told = next((c.differs for c in known.components if c.name == name), [])
    return "; ".join(told)


def sentence(known: Adoption, names: frozenset[str]) -> str:
    """What differs from the spec of these components."""
    listed = [c for c in known.components if c.name in names]
    told = [f"{c.name}: {c.differs[0]}" for c in listed if c.differs]
    if not told:
        return "nothing on it differs from the spec"
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return f"differs from the spec in {'; '.join(told[:_SHOWN])}{more}"
