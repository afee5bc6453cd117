"""Keeping the Secret by which a host is reached for as long as the host has to be cleaned up.

Whoever deletes a namespace, or uninstalls a Helm release, deletes Secrets and Machines at once, and
mostly the Secrets are gone first. A finalizer holds a Secret of which Machines that have changed
their hosts still need the credentials; the last of them takes it away. It holds nothing for ever: a
Secret that is deleted while its Machines are to stay goes after a minute, and Machines that go have
their own limit of time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine, MachineStatus
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.strip import unrecorded
from kok.kube.errors import Forbidden, NotFound
from kok.kube.lists.tolerant import Listed, listed
from kok.operators.machine.remote.host_credentials import secrets_of
from kok.runtime.controller.reconciler import Pass

FINALIZER = "kok.dev/ssh-credentials"
PATIENCE = timedelta(seconds=60)
"""How long a Secret that is being deleted is held for Machines that are not: their own deletion may
follow, since a namespace's objects are deleted one after the other."""

_LEAVING_MOST = 10_000
_Field = Literal["ssh_secret", "jump_secret"]
"""Of a Machine's status: which Secret is held."""


def touched(status: MachineStatus) -> bool:
    """Whether anything may have been changed on a Machine's host."""
    begun = status.token_id is not None or status.adopted is not None
    return begun or any(c.job is not None or c.config for c in status.components)


def holds(secret: Manifest) -> bool:
    """Whether the Secret has our finalizer."""
    return FINALIZER in (secret["metadata"].get("finalizers") or ())


def going(secret: Manifest) -> bool:
    """Whether the Secret is being deleted."""
    return bool(secret["metadata"].get("deletionTimestamp"))


def needed(
    secret: Manifest,
    machines: Iterable[Machine],
    hosts: Iterable[Host],
    now: datetime,
    odd: Iterable[Unreadable] = (),
) -> bool:
    """Whether the Secret has to be kept for any of these, which are all of its namespace.

    `odd` are Machines and Hosts that cannot be read: nobody knows what they need.
    """
    name = secret["metadata"]["name"]
    users: Sequence[Machine | Host | Unreadable] = [
        *odd,
        *(m for m in machines if _needs(m, name)),
        *(h for h in hosts if name in secrets_of(h.spec.ssh) and h.status.used_by is not None),
    ]
    if not going(secret) or any(user.deleting for user in users):
        return bool(users)
    deleted = datetime.fromisoformat(secret["metadata"]["deletionTimestamp"])
    return bool(users) and now < deleted + PATIENCE


def _needs(machine: Machine, name: str) -> bool:
    status = machine.status
    named = (*secrets_of(machine.spec.ssh), status.ssh_secret, status.jump_secret)
    return touched(status) and name in named


async def namespace_goes(kube: Kube, namespace: str) -> bool:
    """Whether it is being deleted, so that no Secret can be made in it any more. Raises `KubeError`."""
    try:
        found = await kube.get(kinds.NAMESPACE, namespace)
    except Forbidden:
        return False
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


async def hold(kube: Kube, secret: Manifest) -> None:
    """Sets the finalizer, if it is not there. Raises `Conflict` if the Secret was just changed."""
    if not holds(secret) and not going(secret):
        found = secret["metadata"].get("finalizers") or []
        await _set(kube, secret, [*found, FINALIZER])


Everybody = Callable[[Kube, str], Awaitable[Listed[Machine]]]


class Keeper:
    """Holds Secrets for as long as somebody needs them, and no longer."""

    def __init__(self, everybody: Everybody) -> None:
        """`everybody` lists all Machines of a namespace, as they are now."""
        self._everybody = everybody
        self._leaving: dict[str, None] = {}
        """UIDs of Machines and Hosts of which nothing is left to do, the newest last. Of two that
        go at once each would otherwise leave a Secret to the other."""

    async def keep(
        self, p: Pass[Machine], secret: Manifest | None, jump: Manifest | None = None
    ) -> float | None:
        """Holds the Secrets of a Machine that a clean-up will need, before anything is changed on the
        host: its own, and the one of its bastion.

        Seconds until they must be looked at again.
        """
        if not touched(p.status):
            return None
        name, bastion = secrets_of(p.obj.spec.ssh)
        waits = (
            await self._keep(p, "ssh_secret", name, secret),
            await self._keep(p, "jump_secret", bastion if bastion != name else None, jump),
        )
        return min((wait for wait in waits if wait is not None), default=None)

    async def _keep(
        self, p: Pass[Machine], field: _Field, name: str | None, secret: Manifest | None
    ) -> float | None:
        before: str | None = getattr(p.status, field)
        if name is not None and secret is None:
            return None
        if before not in (None, name):
            # Another one is used by now. Only once that is held the earlier one may go.
            if name is not None and secret is not None:
                await hold(p.kube, secret)
            setattr(p.status, field, name)
            await p.latch()
            earlier = await p.kube.get(kinds.SECRET, before, p.obj.namespace)
            await self.let_go(p, earlier)
        elif name is None or secret is None:
            return None
        elif going(secret):
            return await self.let_go(p, secret)
        elif not holds(secret):
            setattr(p.status, field, name)
            await p.latch()
            await hold(p.kube, secret)
        return None

    async def leave(
        self, p: Pass[Machine], secret: Manifest | None, jump: Manifest | None = None
    ) -> None:
        """The Machine goes: the last one of those that need a Secret frees it."""
        known = {one["metadata"]["name"]: one for one in (secret, jump) if one is not None}
        for one in known.values():
            await self.let_go(p, one, leaving=True)
        for name in (p.status.ssh_secret, p.status.jump_secret):
            if name is not None and name not in (*known, *secrets_of(p.obj.spec.ssh)):
                earlier = await p.kube.get(kinds.SECRET, name, p.obj.namespace)
                await self.let_go(p, earlier, leaving=True)

    async def let_go(
        self, p: Pass[Any], secret: Manifest | None, *, leaving: bool = False
    ) -> float | None:
        """Takes the finalizer away if nobody needs the Secret; `leaving`: nor does this object.

        Seconds after which to ask again, if the Secret is being deleted and still needed.
        """
        if secret is None or not holds(secret):
            return None
        if leaving:
            self._leaving[p.obj.metadata.uid] = None
            if len(self._leaving) > _LEAVING_MOST:
                del self._leaving[next(iter(self._leaving))]
        namespace = secret["metadata"]["namespace"]
        everybody = await self._everybody(p.kube, namespace)
        machines = list(filter(self._stays, everybody.objects))
        odd = [o for o in everybody.odd if o.uid not in self._leaving]
        still = needed(secret, machines, (), p.now, odd)
        if not still:
            hosts = listed(Host, await p.kube.list(Host.info.kind, namespace, keep=unrecorded))
            odd = [o for o in hosts.odd if o.uid not in self._leaving]
            still = needed(secret, machines, filter(self._stays, hosts.objects), p.now, odd)
        if still:
            return PATIENCE.total_seconds() / 4 if going(secret) else None
        kept = [f for f in secret["metadata"]["finalizers"] if f != FINALIZER]
        with suppress(NotFound):
            await _set(p.kube, secret, kept)
        return None

    def _stays(self, obj: Machine | Host) -> bool:
        return obj.metadata.uid not in self._leaving


async def _set(kube: Kube, secret: Manifest, finalizers: list[Any]) -> None:
    meta = secret["metadata"]
    patch = {
        "metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": finalizers or None}
    }
    await kube.patch(kinds.SECRET, meta["name"], meta["namespace"], patch)
