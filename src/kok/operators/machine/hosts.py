"""The reconcilers of Hosts, which show who uses them, and of Components, which are checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kok.api import names
from kok.api.component import Component
from kok.api.host import Host
from kok.api.machine import Machine
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_HOST_KEY
from kok.operators.machine import reasons
from kok.operators.machine.components.foreign import Checker
from kok.operators.machine.ssh.hostkey import FINGERPRINT
from kok.runtime.aside import Unfinished
from kok.runtime.errors import Invalid, Wait
from kok.runtime.reconciler import DONE, Done, Key, Pass, Result, Wake

MACHINE = Machine.info.kind


class HostReconciler:
    """Shows which Machine uses a Host, and remembers the host's key from one to the next."""

    model = Host

    def __init__(self) -> None:
        self.wakes_on: Sequence[Wake] = (Wake(MACHINE, key=_host_of, labels=names.LABEL_HOST),)

    async def reconcile(self, p: Pass[Host]) -> Result:
        """See `Reconciler`."""
        machine = await _machine(p)
        p.status.machine = machine.name if machine is not None else None
        p.status.phase = "Claimed" if machine is not None else "Free"
        key = _key(p.obj, machine)
        if key is not None:
            p.status.host_key = key
        reason = reasons.CLAIMED if machine is not None else reasons.FREE
        text = f"used by Machine {machine.name}" if machine is not None else "no Machine uses it"
        p.set_condition("Ready", True, reason, text)
        return Result()

    async def finalize(self, p: Pass[Host]) -> Result | Done:
        """A Host stays until its Machine has left it clean."""
        machine = await _machine(p)
        if machine is None:
            return DONE
        p.status.machine = machine.name
        raise Wait(
            reasons.IN_USE, f"Machine {machine.name} still uses it and is being removed", 10.0
        )


class ComponentReconciler:
    """Says of a Component whether its templates and its schema can be used."""

    model = Component
    wakes_on: Sequence[Wake] = ()

    def __init__(self, checker: Checker | None = None) -> None:
        self._checker = checker or Checker()

    async def reconcile(self, p: Pass[Component]) -> Result:
        """See `Reconciler`."""
        try:
            problem = await self._checker.problem(p.obj)
        except Unfinished as error:
            text = f"checking it {error}; it is tried again"
            raise Wait(reasons.COMPONENT_INVALID, text, 30.0) from None
        if problem:
            raise Invalid(reasons.COMPONENT_INVALID, problem)
        p.set_condition("Ready", True, reasons.VALID, "templates and parameters can be used")
        return Result()

    async def finalize(self, p: Pass[Component]) -> Result | Done:
        """What is needed to remove the software lies on the hosts."""
        del p
        return DONE


async def _machine(p: Pass[Host]) -> Machine | None:
    found = await p.kube.list(MACHINE, p.obj.namespace, labels={names.LABEL_HOST: p.obj.name})
    machines = sorted(map(Machine.parse, found), key=lambda m: m.name)
    return machines[0] if machines else None


def _key(host: Host, machine: Machine | None) -> str | None:
    """The key to remember: trusted by hand, or the one that its Machine uses."""
    trusted = host.metadata.annotations.get(ANNOTATION_TRUST_HOST_KEY, "")
    if FINGERPRINT.fullmatch(trusted):
        return trusted
    return machine.status.host_key if machine is not None else None


def _host_of(manifest: Manifest) -> Iterable[Key]:
    meta = manifest["metadata"]
    name = (meta.get("labels") or {}).get(names.LABEL_HOST)
    return [(str(meta.get("namespace", "")), name)] if name else []
