"""The reconciler of Hosts: who uses them, and whether they were left clean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kok.api import names
from kok.api.machine.host import Host, HostStatus, HostUse
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_ABANDON_HOST, ANNOTATION_TRUST_HOST_KEY
from kok.kube.decoding.strip import unrecorded
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.lists.tolerant import listed
from kok.operators.machine import reasons
from kok.operators.machine.host import conditions
from kok.operators.machine.host.cleanup import Cleaner
from kok.operators.machine.host.ssh_secrets import touched
from kok.operators.machine.remote.session import LEAST
from kok.operators.machine.remote.ssh.hostkey import FINGERPRINT
from kok.operators.machine.settings import MachineSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reasons import UNREADABLE
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged

MACHINE = Machine.info.kind


UNTOLD = 30.0
"""Seconds between two looks at a Machine of which nobody tells."""


@dataclass(frozen=True, slots=True)
class HostView:
    """Who uses the host."""

    machine: Machine | None
    """The Machine that names it, or whose software is on it."""


@dataclass(frozen=True, slots=True)
class HostDecision:
    """What is to be done with the host."""

    clean: bool
    """Whether its last Machine is gone and may have left something on it."""


@dataclass(slots=True)
class HostOutcome:
    """What came of that."""

    dirty: str = ""
    """Why the host is not clean, as a sentence."""


class HostReconciler(Staged[Host, HostView, HostDecision, HostOutcome]):
    """Shows which Machine uses a Host, and remembers the host's key from one to the next.

    A host whose Machine went without leaving it clean, for whatever reason, is Dirty: it is cleaned
    up as soon as it can be reached, and nobody gets it before.
    """

    model = Host

    def __init__(self, cleaner: Cleaner, settings: MachineSettings) -> None:
        self.wakes_on: Sequence[Wake] = (Wake(MACHINE, key=_host_of, labels=names.LABEL_HOST),)
        self._cleaner = cleaner
        self._patience = timedelta(seconds=settings.removal_timeout)

    async def observe(self, p: Pass[Host]) -> HostView:
        """The Machine. Raises `Wait` if it is not known which that is, and `KubeError`."""
        return HostView(await _machine(p))

    def decide(self, p: Pass[Host], view: HostView) -> HostDecision:
        """What nobody uses any more has to be clean."""
        return HostDecision(view.machine is None and p.obj.status.used_by is not None)

    def outcome(self, view: HostView, decision: HostDecision) -> HostOutcome:
        """Nothing so far."""
        del view, decision
        return HostOutcome()

    def record(self, p: Pass[Host], view: HostView, decision: HostDecision) -> bool:
        """Who uses it, whose software may be on it, and which key it has shown."""
        del decision
        p.status.machine = view.machine.name if view.machine is not None else None
        key = _key(p.obj, view.machine)
        if key is not None:
            p.status.host_key = key
        if view.machine is not None:
            _note_use(p.status, view.machine)
        return False

    async def act(
        self, p: Pass[Host], view: HostView, decision: HostDecision, outcome: HostOutcome
    ) -> float | None:
        """Cleans it up where nobody else does."""
        if decision.clean and not await self._cleaner.clean(p):
            outcome.dirty = self._cleaner.sentence(p)
            return self._cleaner.again(p)
        # Of a Machine without the label no change wakes the Host.
        unlabelled = view.machine is not None and not _names(view.machine, p.obj)
        return UNTOLD if unlabelled else None

    def conditions(
        self,
        p: Pass[Host],
        view: HostView,
        decision: HostDecision,
        outcome: HostOutcome,
        ended: Exception | None,
    ) -> None:
        """Whether it is free; if it could not be seen whether it is clean, what was said before."""
        if ended is None or not decision.clean:
            conditions.report(p, view.machine, outcome.dirty)

    async def finalize(self, p: Pass[Host]) -> Result | Done:
        """A Host stays until its Machine has left it clean, or it was cleaned up after that."""
        machine, used = await _machine(p), p.status.used_by
        if machine is not None:
            p.status.machine = machine.name
            if not machine.deleting and not _names(machine, p.obj):
                # It goes on without the pool, and cleans up for itself in the end.
                return await self._cleaner.done(p)
            raise Wait(
                reasons.IN_USE, f"Machine {machine.name} still uses it and is being removed", 10.0
            )
        if used is None or await self._cleaner.clean(p):
            return await self._cleaner.done(p)
        # An operator that was away meanwhile has not tried anything.
        let_go = max(
            (p.obj.metadata.deletion_timestamp or p.now) + self._patience,
            self._cleaner.tried_since(p) + min(self._patience, LEAST),
        )
        told = p.obj.metadata.annotations.get(ANNOTATION_ABANDON_HOST) == "true"
        if told or p.now >= let_go or await self._cleaner.hopeless(p):
            await self._cleaner.abandon(p)
            return await self._cleaner.done(p)
        raise Wait(
            reasons.HOST_NOT_CLEAN,
            f"{self._cleaner.sentence(p)}; gives up at {let_go:%H:%M:%S} UTC, or at once with the "
            f"annotation {ANNOTATION_ABANDON_HOST}=true",
            self._cleaner.again(p),
        )

    def forget(self, key: Key, uid: str) -> None:
        """A clean-up that goes on is ended."""
        del key
        self._cleaner.forget(uid)


def _note_use(status: HostStatus, machine: Machine) -> None:
    """Whose software may be on the host, once a Machine has begun to change anything there."""
    if machine.deleting:
        return  # It tells itself, in the end, whether the host is clean.
    if touched(machine.status):
        status.used_by = HostUse.of(machine)


async def _machine(p: Pass[Host]) -> Machine | None:
    """The Machine of the host: the one that names it, or whose software is on it.

    That it does not name the Host any more, for anybody may take labels off, makes no Machine gone.
    """
    labels = {names.LABEL_HOST: p.obj.name}
    found = await p.kube.list(
        MACHINE, p.obj.namespace, labels=labels, unread=FREE_FORM, keep=unrecorded
    )
    used = p.status.used_by
    if not found and used is not None:
        last = await p.kube.get(MACHINE, used.machine, p.obj.namespace, unread=FREE_FORM)
        found = [last] if last is not None and last["metadata"].get("uid") == used.uid else []
    there = listed(Machine, found)
    for odd in there.odd:
        # It may well use the host, which must neither be cleaned up nor be given to another.
        raise Wait(UNREADABLE, f"its Machine is not known: {odd.message}", 30.0)
    machines = sorted(there.objects, key=lambda m: m.name)
    return machines[0] if machines else None


def _names(machine: Machine, host: Host) -> bool:
    """Whether a Machine says that it is the one of the host."""
    return machine.metadata.labels.get(names.LABEL_HOST) == host.name


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
