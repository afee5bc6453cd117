"""Cleaning up hosts of the pool whose Machines are gone without having left them clean."""

from __future__ import annotations

from datetime import datetime

from kok.api.machine.host import AbandonedHost, Host, HostUse
from kok.api.names import ANNOTATION_ABANDON_HOST, ANNOTATION_TRUST_HOST_KEY
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.ssh_secrets import Keeper, namespace_goes
from kok.operators.machine.remote import host_identity
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.host_credentials import read_secrets
from kok.operators.machine.remote.host_identity import HostMatch, behind_bastion
from kok.operators.machine.remote.hosts import HostClient, Hosts
from kok.operators.machine.remote.session import Session
from kok.operators.machine.remote.ssh import Expected, Target, expected
from kok.operators.machine.remote.survey import Owner
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import DONE, Done, Pass

SOON = 5.0
UNMARKED = (HostMatch.REKEYED, HostMatch.OTHER)


class Cleaner:
    """Cleans up hosts, each by one operation at a time that goes on between passes.

    Sessions and connections are those of Machines as well, so that a Host has its own by its own
    UID: the one that `status.usedBy` tells may be that of anybody's Machine.
    """

    def __init__(self, hosts: Hosts, abandoned: Abandoned, keeper: Keeper) -> None:
        self._hosts = hosts
        self._abandoned = abandoned
        self._keeper = keeper
        self._problems: dict[str, Verdict] = {}
        """Why a host, by the UID of its Host, cannot even be tried."""
        self._whose: dict[str, str] = {}
        """By the UID of the Host, that of the Machine of which it is being cleaned."""

    async def clean(self, p: Pass[Host]) -> bool:
        """Whether the host is clean; if it is not, something is being done about that."""
        used = p.status.used_by
        if used is None:
            return True
        session = self._session(p)
        session.memory.clean_seen = session.memory.clean_seen or p.now
        where = self._where(p)
        taken = isinstance(session.memory.error, HostTaken) and session.memory.error.owner.uid
        if session.memory.cleaned or (taken and where is HostMatch.SAME):
            # What belongs to somebody else by now was cleaned up before that one began.
            await self._forget(p, used.uid)
            return True
        target = await self._target(p)
        if target is None:
            return False
        session.aim(target)
        if not session.doing and session.wait() <= 0:
            key = p.obj.metadata.uid
            client = HostClient(
                self._hosts.connections, p.clock, used.uid, target, session.memory, p.wake, key
            )
            owner = Owner(
                uid=used.uid,
                machine=f"{p.obj.namespace}/{used.machine}",
                cluster=f"{p.obj.namespace}/{used.cluster}",
                installation=await self._hosts.installation(p.kube),
            )
            work = client.clean(owner, marked=where is not HostMatch.SAME)
            session.start("clean", work, p.wake)
        return False

    async def hopeless(self, p: Pass[Host]) -> bool:
        """Whether there will never be a way to the host: its Secret went before it, and with the
        namespace being deleted there will be no other. Raises `KubeError`."""
        problem = self._problems.get(p.obj.metadata.uid)
        if problem is None or problem.reason != reasons.SECRET_MISSING:
            return False
        return await namespace_goes(p.kube, p.obj.namespace)

    def tried_since(self, p: Pass[Host]) -> datetime:
        """Since when this process has been trying to clean the host."""
        return self._session(p).memory.clean_seen or p.now

    def sentence(self, p: Pass[Host]) -> str:
        """Why the host is not clean yet."""
        used = p.status.used_by
        name = used.machine if used is not None else ""
        error = self._session(p).memory.error
        problem = self._problems.get(p.obj.metadata.uid)
        if used is not None and isinstance(error, HostTaken) and self._where(p) in UNMARKED:
            text = host_identity.uncleaned(
                used, p.obj.spec.port, _expected(p), p.obj.spec.ssh.behind
            )
            problem = problem or Verdict(False, reasons.HOST_NOT_CLEAN, text)
        why = problem.message if problem is not None else error.message if error is not None else ""
        text = f"Machine {name} is gone and has not left the host clean"
        return f"{text}: {why}; it is tried again" if why else f"{text}; it is being cleaned up"

    def again(self, p: Pass[Host]) -> float:
        """Seconds until the next pass."""
        return max(SOON, self._session(p).wait())

    async def abandon(self, p: Pass[Host]) -> None:
        """The Host goes although the host is not clean: it is listed, if it was not before."""
        used, spec = p.status.used_by, p.obj.spec
        if used is None:
            return
        entry = AbandonedHost(
            namespace=p.obj.namespace,
            machine=used.machine,
            cluster=used.cluster,
            address=used.address or spec.address,
            port=used.port or spec.port,
            jump=spec.ssh.behind if used.jump is None else used.jump,
            since=p.now,
            why=self.sentence(p),
            left="stop pods, uninstall what lies in /var/lib/kok/components, remove /var/lib/kok",
        )
        if not self._abandoned.holds(p.obj.namespace, used.uid):
            await self._abandoned.add(p.kube, p.obj.metadata.uid, entry)
        text = f"host {entry.address} was not cleaned up: {entry.why}; left to do: {entry.left}"
        p.event(reasons.HOST_ABANDONED, text, warning=True)

    async def done(self, p: Pass[Host]) -> Done:
        """The Host goes: its credentials may go, too."""
        await self._free(p, leaving=True)
        return DONE

    def forget(self, host: str) -> None:
        """The Host of that UID is gone, or is cleaned of another Machine."""
        self._hosts.forget(host)
        self._problems.pop(host, None)
        self._whose.pop(host, None)

    def _session(self, p: Pass[Host]) -> Session:
        host, used = p.obj.metadata.uid, p.status.used_by
        machine = used.uid if used is not None else ""
        if self._whose.get(host, machine) != machine:
            # What was found out of another Machine's remains says nothing of these.
            self.forget(host)
        self._whose[host] = machine
        return self._hosts.sessions.of(host)

    async def _forget(self, p: Pass[Host], uid: str) -> None:
        await self._abandoned.cleaned(p.kube, p.obj.namespace, uid)
        p.status.used_by = None
        await p.latch()
        self.forget(p.obj.metadata.uid)
        await self._free(p)

    async def _free(self, p: Pass[Host], *, leaving: bool = False) -> None:
        """Nothing is left to do by these credentials."""
        secret, jump = await read_secrets(p.kube, p.obj.namespace, p.obj.spec.ssh)
        await self._keeper.let_go(p, secret, leaving=leaving)
        if jump is not secret:
            await self._keeper.let_go(p, jump, leaving=leaving)

    def _where(self, p: Pass[Host]) -> HostMatch:
        """Whether the host is the one that was used."""
        spec = p.obj.spec
        return host_identity.compare(
            p.status.used_by, spec.address, spec.port, _expected(p), spec.ssh.behind
        )

    async def _target(self, p: Pass[Host]) -> Target | None:
        """Where and as whom to log in; None, and a problem, if that is not possible."""
        host, spec, uid = p.obj, p.obj.spec, p.obj.metadata.uid
        used, want = p.status.used_by, _expected(p)
        if used is not None and self._where(p) is HostMatch.ELSEWHERE:
            self._problems[uid] = Verdict(False, reasons.HOST_NOT_CLEAN, _elsewhere(host, used))
            return None
        secret, jump = await read_secrets(p.kube, host.namespace, spec.ssh)
        found = await self._hosts.credentials.of(host, secret)
        bastion = await self._hosts.credentials.bastion(host, jump)
        if isinstance(found, Verdict):
            self._problems[uid] = found
            return None
        if isinstance(bastion, Verdict):
            self._problems[uid] = bastion
            return None
        if want.fingerprint is None:
            text = "its host key is not known; write it into spec.hostKey"
            self._problems[uid] = Verdict(False, reasons.HOST_KEY_CHANGED, text)
            return None
        self._problems.pop(uid, None)
        return Target(
            address=spec.address,
            port=spec.port,
            user=spec.ssh.user,
            secret=f"{host.namespace}/{spec.ssh.secret}",
            credentials=found,
            expected=want,
            jump=bastion,
        )


def _expected(p: Pass[Host]) -> Expected:
    """The key that the host must show."""
    annotation = p.obj.metadata.annotations.get(ANNOTATION_TRUST_HOST_KEY)
    return expected(annotation, p.obj.spec.host_key, p.status.host_key, None)


def _elsewhere(host: Host, used: HostUse) -> str:
    """A sentence for when what is to be cleaned up is not where the Host says that it is."""
    spec = host.spec
    return (
        f"it was at {used.address}, port {used.port}{behind_bastion(used.jump)}, and spec names "
        f"{spec.address}, port {spec.port}{behind_bastion(spec.ssh.behind)}: write what was there into spec "
        "until the host is clean; if that one is gone "
        f"for ever, delete this Host with the annotation {ANNOTATION_ABANDON_HOST}=true, which lists "
        "it as left behind, and create another for the new one"
    )
