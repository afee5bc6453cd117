"""Reading what a pass over a Machine looks at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Sequence

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.http.access import AccessError
from kok.kube.lists.tolerant import Listed
from kok.operators.machine import reasons
from kok.operators.machine.component.sandboxed import HELD_MOST, taken
from kok.operators.machine.host.ssh_secrets import namespace_goes
from kok.operators.machine.machine.view import (
    BOOTSTRAP_READY,
    JOINED,
    ObservedObjects,
    expected_key,
)
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import (
    ClusterConnection,
    ClusterConnections,
    connection_spec,
)
from kok.operators.machine.remote.host_credentials import read_secrets
from kok.operators.machine.remote.host_identity import Spot, spot
from kok.operators.machine.remote.hosts import Hosts
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.operators.machine.remote.ssh import Credentials, Target
from kok.operators.machine.remote.survey import Owner
from kok.runtime.conditions import Verdict
from kok.workload.csr import by_token
from kok.workload.identity import Identity, Untrusted, identity_of

CLUSTER = Cluster.info.kind
COMPONENT = Component.info.kind
MACHINE = Machine.info.kind
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
OPERATOR = "machine"
"""This operator among those that work inside business clusters."""


class Observer:
    """Reads the picture; keeps what never changes."""

    def __init__(
        self,
        clusters: ClusterConnections,
        lists: MachineLists,
        hosts: Hosts,
        *,
        inside: bool,
        first_use: bool = True,
        closed: Sequence[str] = (),
    ) -> None:
        """`inside`: business clusters are reached by their addresses in the meta cluster.

        `closed`: address ranges into which the others must not lead, where somebody chose them.
        `first_use`: hosts may be trusted that nobody has vouched for, see `first_contact`.
        """
        self._clusters = clusters
        self._inside = inside
        self._closed = closed
        self._first_use = first_use
        self._hosts = hosts
        self._lists = lists

    async def observe(
        self,
        kube: Kube,
        machine: Machine,
        *,
        others: bool,
        since: float,
        wake: Callable[[], None],
        owner: Owner | None = None,
        watched: Collection[str] = (),
    ) -> ObservedObjects:
        """The picture; `wake` is called when the business cluster is another than in it. Raises
        `KubeError`.

        `others`: whether the namespace's other Machines belong to it; none that was there at
        `since` (monotonic seconds) is missing. `owner` is what the host says of itself, `watched`
        are the namespaces that this operator looks after, all of them if empty.
        """
        namespace, cluster = machine.namespace, machine.spec.cluster
        found, (secret, jump), (components, beyond), operator, neighbours = await asyncio.gather(
            kube.get(CLUSTER, cluster, namespace, unread=FREE_FORM),
            read_secrets(kube, namespace, machine.spec.ssh),
            _components(kube, machine),
            kube.get(kinds.SECRET, names.operator_secret(cluster, OPERATOR), namespace),
            self._lists.of(kube, machine, since) if others else _nobody(),
        )
        login = await self._hosts.credentials.of(machine, secret)
        bastion = await self._hosts.credentials.bastion(machine, jump)
        if isinstance(bastion, Verdict) and not isinstance(login, Verdict):
            login = bastion
        refusal = (
            login
            if isinstance(login, Verdict)
            else first_contact(machine, login, first_use=self._first_use)
        )
        gone = secret is None or (jump is None and machine.spec.ssh.jump is not None)
        hopeless = gone and machine.deleting and await namespace_goes(kube, namespace)
        if hopeless:
            refusal = Verdict(False, reasons.SECRET_MISSING, _went_before(machine))
        parsed = Cluster.parse(found) if found is not None else None
        identity, untrusted = machine_identity(operator, parsed)
        connection = None
        if machine.status.is_true(JOINED) or (parsed and parsed.status.is_true(BOOTSTRAP_READY)):
            # Not before: asking an API that is not up yet would only teach us to be patient.
            connection = await self.connection(parsed, identity)
        if connection is not None:
            # First of all: nothing else tells of what changes after it was looked at.
            follow(connection, machine, wake)
        left_behind = await self._left_behind(kube, owner, watched)
        installation = await self._hosts.installation(kube)
        return ObservedObjects(
            cluster=parsed,
            secret=secret,
            jump=jump,
            credentials=login if isinstance(login, Credentials) else None,
            bastion=bastion if isinstance(bastion, Target) else None,
            refusal=refusal,
            hopeless=hopeless,
            components=components,
            beyond=beyond,
            endpoint=endpoint_of(parsed, identity),
            untrusted=untrusted,
            connection=connection.state() if connection is not None else None,
            node=connection.nodes.get(machine.spec.node) if connection is not None else None,
            others=None if neighbours is None else neighbours.objects,
            odd=() if neighbours is None else neighbours.odd,
            left_behind=left_behind,
            installation=installation,
        )

    async def connection(
        self, cluster: Cluster | None, identity: Identity | None
    ) -> ClusterConnection | None:
        """The one into a business cluster, made if there is none yet; None if there is no way."""
        if cluster is None or identity is None:
            return None
        key = (cluster.namespace, cluster.name)
        try:
            found = connection_spec(
                identity,
                public=cluster.status.endpoint,
                internal=names.internal_url(*key),
                inside=self._inside,
                # Addresses that KOK found out, such as those of meta nodes, are nobody's choice.
                closed=self._closed if cluster.spec.endpoint.host else (),
            )
            return None if found is None else await self._clusters.connect(key, found)
        except AccessError:
            # The cluster operator puts its Secret right again.
            return None

    async def _left_behind(self, kube: Kube, owner: Owner | None, watched: Collection[str]) -> bool:
        """Whether a host's owner is a Machine of ours that is gone.

        Of one in a namespace that another operator looks after nobody here knows.
        """
        if (
            owner is None
            or not owner.uid
            or owner.installation != await self._hosts.installation(kube)
        ):
            return False
        namespace, _, name = owner.machine.partition("/")
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
            return False
        if watched and namespace not in watched:
            return False
        # Who it is and no more: it may be anybody's, and of any size.
        named = await kube.list(MACHINE, namespace, fields={"metadata.name": name}, bare=True)
        return all(one["metadata"]["uid"] != owner.uid for one in named)


def follow(connection: ClusterConnection, machine: Machine, wake: Callable[[], None]) -> None:
    """Has a Machine woken by all that changes about its node, and by who asks with its token."""
    uid, token = machine.metadata.uid, machine.status.token_id
    connection.on_node(machine.spec.node, uid, wake)
    if token is not None:
        connection.on_asker(by_token(token), uid, wake)


async def _components(kube: Kube, machine: Machine) -> tuple[dict[str, Component], str]:
    """Those that the Machine names, and the name of the first that is too much.

    Many passes may do so at once, and each holds what it has found until its end. They are read one
    after the other, so that what is too much is never there as a whole.
    """
    found: dict[str, Component] = {}
    room = HELD_MOST
    # To remove software, what lies on the host is enough.
    for one in () if machine.deleting else machine.spec.components:
        name = names.component(one.name, one.version)
        manifest = await kube.get(COMPONENT, name, machine.namespace)
        if manifest is None:
            continue
        room -= taken(manifest["spec"])
        if room < 0:
            return {}, name
        component = Component.parse(manifest)
        if not component.deleting:
            found[one.name] = component
    return found, ""


def _went_before(machine: Machine) -> str:
    return (
        f"Secret {machine.namespace}/{machine.spec.ssh.secret} is gone, and with its namespace "
        "being deleted there will be no other"
    )


async def _nobody() -> Listed[Machine] | None:
    return None


def machine_identity(
    secret: Manifest | None, cluster: Cluster | None
) -> tuple[Identity | None, str]:
    """Ours inside the Cluster, or what is wrong with its Secret if that is there."""
    if secret is None or cluster is None:
        return None, ""
    try:
        return identity_of(secret, cluster), ""
    except Untrusted as error:
        return None, str(error)


def first_contact(machine: Machine, credentials: Credentials, *, first_use: bool) -> Verdict | None:
    """Why a host whose key nobody knows must not be trusted by what it shows, or None.

    A private key never leaves the operator; a password goes to whoever answers.
    """
    if expected_key(machine, machine.status).fingerprint is not None:
        return None
    if credentials.password is None and first_use:
        return None
    why = (
        f"Secret {machine.namespace}/{machine.spec.ssh.secret} holds a password, which would go "
        "to whoever answers there"
        if credentials.password is not None
        else "this installation trusts no host at first use"
    )
    return Verdict(
        False,
        reasons.HOST_KEY_REQUIRED,
        f"hostKey of host {machine.spec.address} is missing, and {why}; write the fingerprint "
        "that `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host",
    )


def endpoint_of(cluster: Cluster | None, identity: Identity | None) -> ClusterEndpoint | None:
    """The way that nodes take: to the recorded address, trusting the recorded CA."""
    if cluster is None or identity is None or cluster.status.endpoint is None:
        return None
    return ClusterEndpoint(cluster.status.endpoint, identity.ca)


def rival(
    machine: Machine, others: Iterable[Machine], odd: Iterable[Unreadable] = ()
) -> Verdict | None:
    """Another Machine of the namespace that has the same host or the same node name by an older
    right.

    Between namespaces only the mark on the host decides: anybody can write any address down. Of
    `odd` ones what they say counts, as far as it can be understood.
    """
    mine = machine.spec
    here = _place(machine)
    for one in odd:
        older = one.text("metadata", "creationTimestamp")[:19] <= _age(machine)[0][:19]
        node = (one.text("spec", "cluster"), one.text("spec", "node")) == (mine.cluster, mine.node)
        if one.namespace == machine.namespace and older and node:
            return Verdict(
                False,
                reasons.NODE_NAME_TAKEN,
                f"node {mine.node} of Cluster {mine.cluster} may be another Machine's: {one}",
            )
    for other in sorted(others, key=_age):
        theirs = other.spec
        if _age(other) > _age(machine):
            return None
        if other.namespace != machine.namespace:
            continue
        if _place(other) == here:
            return Verdict(
                False,
                reasons.HOST_IN_USE,
                f"host {mine.address} already serves Machine {other.namespace}/{other.name}; "
                "delete that Machine first, or use another host",
            )
        if (theirs.cluster, theirs.node) == (mine.cluster, mine.node):
            return Verdict(
                False,
                reasons.NODE_NAME_TAKEN,
                f"Machine {other.name} already is node {mine.node} of Cluster {mine.cluster}; "
                "give this one another node name",
            )
    return None


def neighbours(machine: Machine, objects: ObservedObjects) -> dict[str, dict[str, str]]:
    """The other Machines of the same Cluster by name, and what tells their hosts apart."""
    return {
        m.name: {
            "hostname": m.status.facts.hostname or "",
            "machineID": m.status.facts.machine_id or "",
        }
        for m in objects.others or ()
        if (m.namespace, m.spec.cluster) == (machine.namespace, machine.spec.cluster)
        and m.status.facts is not None
    }


def _place(machine: Machine) -> Spot:
    """Where its host is."""
    spec = machine.spec
    return spot(spec.address, spec.port, spec.ssh.behind)


def _age(machine: Machine) -> tuple[str, str]:
    created = machine.metadata.creation_timestamp
    return (created.isoformat() if created else "", machine.metadata.uid)
