"""What a look at the host asks, and for how long what it showed may be relied on. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from kok.api.machine.machine import Finding
from kok.operators.machine.component import catalog
from kok.operators.machine.machine.view import MachineView, expected_key
from kok.operators.machine.remote import preflight
from kok.operators.machine.remote.session import NEVER, HostMemory
from kok.operators.machine.remote.survey import Question, SurveyRequest

LISTEN, LISTEN_FOR = 5.0, 60.0
"""Seconds after which a host is looked at again whose kubelet was changed and says nothing, and for
which that goes on; then it is looked at like others that do not serve."""
EVER_READY = frozenset({"Ready", "Updating", "NotReady"})
"""Phases of a Machine that was Ready at some time."""


def unproven(view: MachineView) -> bool:
    """Whether a kubelet that was changed has yet to prove that it works, see `kubelet_change`."""
    return view.status.kubelet_change is not None


def listening(view: MachineView) -> bool:
    """Whether that is to be known at once."""
    return unproven(view) and view.monotonic - view.memory.changed < LISTEN_FOR


def request(view: MachineView, questions: Sequence[Question]) -> SurveyRequest:
    """What the host is asked, with a mark of whatever makes another question of it."""
    made_of = sorted((q.name, q.probe, *q.paths) for q in questions)
    spec, want = view.machine.spec, expected_key(view.machine, view.status)
    # What was seen behind another port or bastion, or by another key, says nothing of what is there.
    place = (spec.port, spec.ssh.behind, want.fingerprint)
    digest = hashlib.sha256(repr((place, made_of)).encode()).hexdigest()[:16]
    return SurveyRequest(tuple(questions), _urls(view), _towards(view), digest)


def keeps(view: MachineView, findings: Sequence[Finding]) -> float:
    """Seconds for which what was seen of the host may be relied on."""
    if listening(view):
        return LISTEN
    node, memory = view.objects.node, view.memory
    expected = view.status.phase in EVER_READY or memory.joined is not None
    failing = unproven(view) or (expected and (node is None or not node.ready))
    failing = failing or (memory.identity is not None and bool(memory.identity.failing))
    return view.recheck if failing or not preflight.passed(findings) else view.survey_every


def seen(memory: HostMemory) -> float:
    """When the host was last seen. A kubelet that was just started needs a moment to show itself."""
    if memory.surveyed == NEVER:
        return NEVER
    return max(
        memory.surveyed, memory.changed, memory.joined if memory.joined is not None else NEVER
    )


def again(view: MachineView, findings: Sequence[Finding]) -> float | None:
    """Seconds until an idle host is looked at again, if that is sooner than usual."""
    kept = keeps(view, findings)
    return kept if kept < view.survey_every else None


def _urls(view: MachineView) -> tuple[str, ...]:
    """What the host has to reach; asked only as long as something may have to be fetched."""
    if view.status.is_true("Ready"):
        return ()
    machine = view.machine
    base = machine.spec.artifacts.base_url
    urls = [f"{base.rstrip('/')}/"] if base else []
    for component in machine.spec.components:
        mirrors = component.params.get("mirrors")
        if catalog.exclusive(component.name) and isinstance(mirrors, Mapping):
            # Somebody's own Component of that name may mean something else by it.
            listed = [m[0] for m in mirrors.values() if isinstance(m, list) and m]
            urls += [f"{url.rstrip('/')}/v2/" for url in listed if isinstance(url, str)]
    return tuple(dict.fromkeys(urls))


def _towards(view: MachineView) -> str:
    """An address of the cluster's API: the host's own address towards it is the node's."""
    host = (
        urlsplit(view.objects.endpoint.server).hostname
        if view.objects.endpoint is not None
        else None
    )
    try:
        return str(ipaddress.ip_address(host or ""))
    except ValueError:
        return ""
