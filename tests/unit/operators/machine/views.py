"""Cases for decisions about Machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.machine.machine import Machine, MachineStatus
from kok.operators.machine.component.render import rendered
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import SurveyHost
from kok.operators.machine.machine.view import MachineView, ObservedObjects
from kok.operators.machine.node.cluster_connections import ConnectionState
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.host_credentials import HostCredentials
from kok.operators.machine.remote.hosts import Hosts
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.operators.machine.remote.session import HostMemory, Sessions
from kok.operators.machine.remote.ssh import Connections, Credentials, Timeouts
from kok.operators.machine.remote.survey import Found, Identity, Owner, Survey
from kok.runtime.policy import Policies
from kok.runtime.sandbox.pool import SandboxPool

KEY = "SHA256:" + "A" * 43
RECHECK = 15.0
"""Seconds after which these look again at hosts that are not as they should be."""
CA = pki.new_ca("shop", NOW)
ACCESS = ClusterEndpoint("https://192.0.2.10:31443", CA.trust_pem)
COMPONENTS = {name: builders.builtin(name) for name in builders.EVERYTHING}
MEMBER = Identity(
    certificate=pki.issue(
        CA, pki.LeafSpec("system:node:w1", ["system:nodes"]), NOW
    ).cert_pem.decode(),
    server=ACCESS.server,
    ca=ACCESS.ca_digest,
    kubelet="active",
)
NODE = NodeView(
    name="w1",
    uid="n",
    version="1",
    ready=True,
    message="kubelet is posting ready status",
    kubelet="1.37.1",
    runtime="containerd://2.3.7",
    machine_id="f" * 32,
    unschedulable=False,
)


BOOTSTRAPPED = {
    "type": "BootstrapReady",
    "status": "True",
    "reason": "Done",
    "lastTransitionTime": "2026-11-02T12:00:00Z",
}


def hosts(policies: Policies) -> Hosts:
    """Hosts of which nothing is known, with credentials by these policies."""
    credentials = HostCredentials(policies, SandboxPool())
    return Hosts(Connections(Timeouts(), lambda: 0.0), Sessions(lambda: 0.0), credentials)


CONNECTED = ConnectionState(
    answers=True, refused=False, excess=None, nodes_known=True, silence=0.0, age=3600.0
)
"""To a business cluster that answers, and whose nodes are known."""


def observed(**changes: Any) -> ObservedObjects:
    base = ObservedObjects(
        cluster=builders.cluster(status={"conditions": [BOOTSTRAPPED]}),
        credentials=Credentials(password="p"),
        components=COMPONENTS,
        endpoint=ACCESS,
        connection=CONNECTED,
        others=(),
        installation="meta-1",
    )
    return replace(base, **changes)


def installed(machine: Machine, survey: Survey) -> dict[str, Found]:
    found = {}
    for item in machine.spec.components:
        made = rendered(COMPONENTS[item.name], machine, item.params, survey)
        files = {f.path: (f.mode, f.digest) for f in made.files}
        found[item.name] = Found(made.version, files, made.config, begun=True)
    return found


def machine_view(
    machine: Machine | None = None,
    memory: HostMemory | None = None,
    status: dict[str, Any] | None = None,
    **changes: Any,
) -> MachineView:
    made = machine or builders.machine()
    recorded = {"hostKey": KEY, "hostKeySince": "2026-11-02T11:00:00Z"}
    base = MachineView(
        machine=made,
        status=MachineStatus.model_validate({**recorded, **(status or {})}),
        objects=observed(),
        memory=memory or HostMemory(),
        doing="",
        wait=0.0,
        now=NOW,
        monotonic=1000.0,
        survey_every=600.0,
        recheck=RECHECK,
    )
    return replace(base, **changes)


def seen(
    machine: Machine | None = None, *, complete: bool = True, mine: bool = True, **survey: Any
) -> HostMemory:
    """A memory of a host that was just looked at."""
    made = machine or builders.machine()
    looked = builders.survey(**survey)
    if complete:
        looked = replace(looked, found=installed(made, looked))
    if mine:
        looked = replace(looked, owner=Owner(uid=made.metadata.uid, installation="meta-1"))
    memory = HostMemory(survey=looked, surveyed=1000.0, identity=looked.identity)
    step = decide.decide(machine_view(made)).step
    assert isinstance(step.call, SurveyHost)
    memory.asked = step.call.request.digest
    return memory
