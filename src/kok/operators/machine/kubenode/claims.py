"""Which Hosts of the pool a KubeNode has, gets and gives back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kok.api.machine.access import PORT
from kok.api.machine.host import Host, HostSpec
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineSpec
from kok.api.unreadable import Unreadable
from kok.operators.machine.kubenode.rollout.begun import GOES_BACK
from kok.operators.machine.machine.remediation import ladder
from kok.operators.machine.remote.host_identity import Spot, spot

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Claims:
    """The outcome. `held` is what is to be recorded before anything else happens."""

    held: tuple[str, ...]
    """Hosts that are claimed, also those that are being given back."""
    serving: tuple[str, ...]
    """Hosts that are to have a Machine."""
    missing: int = 0
    """How many more are wanted than there are."""
    going: tuple[str, ...] = ()
    """Hosts that have a Machine and are to have none any more."""
    wanting: int = 0
    """How many are kept only because there is none to take their place."""

    @property
    def lacking(self) -> bool:
        """Whether a host that somebody gives up would be taken."""
        return bool(self.missing or self.wanting)


def wanted_nodes(kubenode: KubeNode) -> int:
    """How many nodes the spec asks for."""
    return (kubenode.spec.replicas or 0) if kubenode.spec.pool else len(kubenode.spec.hosts)


def plan(
    kubenode: KubeNode,
    hosts: Mapping[str, Host],
    machines: Mapping[str, Machine],
    taken: Collection[str],
    pods: Mapping[str, int] | None = None,
) -> Claims:
    """Decides on claims.

    `machines` are the KubeNode's own by host; `taken` are hosts that somebody else has claimed;
    `pods` says how many there are on a host that would have to move if it went, where that is known.
    A host is given back only once its Machine is gone, and with it all that lay on the host.
    """
    wanted = kubenode.spec.replicas or 0
    before = list(dict.fromkeys([*kubenode.status.claims, *sorted(machines)]))
    held = [name for name in before if name in hosts or name in machines]
    usable = [name for name in held if _usable(name, hosts, machines)]
    free = [
        name
        for name in sorted(hosts)
        if name not in held
        and name not in taken
        and not hosts[name].deleting
        # A host with somebody's remains on it is Dirty until it was cleaned up.
        and hosts[name].status.used_by is None
        and matches(kubenode, hosts[name])
    ]
    # A host that another one is to take the place of goes once there is one for it.
    lost = [name for name in usable if _replaced(kubenode, machines.get(name))]
    spare = max(0, len(free) - max(0, wanted - len(usable)))
    usable = [name for name in usable if name not in lost[:spare]]
    serving = _best(usable, machines, wanted, pods or {})
    going = [name for name in held if name not in serving and name in machines]
    fresh = free[: max(0, wanted - len(serving))]
    chosen = (*(name for name in held if name in serving), *fresh)
    return Claims(
        held=(*chosen, *going),
        serving=chosen,
        missing=max(0, wanted - len(chosen)),
        going=tuple(going),
        wanting=len(lost[spare:]),
    )


def to_be_compared(kubenode: KubeNode, machines: Iterable[Machine]) -> list[str]:
    """The nodes of which some have to go, if it matters which: their pods decide."""
    stay = [m for m in machines if not m.deleting]
    if kubenode.spec.pool is None or not 0 < (kubenode.spec.replicas or 0) < len(stay):
        return []
    return sorted(m.spec.node for m in stay if m.status.first_ready or m.status.is_true("Ready"))


def leaving(claims: Claims, machines: Mapping[str, Machine], pods: Mapping[str, int]) -> str:
    """Which hosts are given up now, and why these, as a sentence; nothing if none is."""

    def why(name: str) -> str:
        if not machines[name].status.is_true("Ready"):
            return f"{name} (not Ready)"
        few = pods.get(name)
        told = "pods unknown" if few is None else "1 pod" if few == 1 else f"{few} pods"
        return f"{name} ({told})"

    names = [name for name in claims.going if not machines[name].deleting]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"leaves {', '.join(map(why, names[:_SHOWN]))}{more}" if names else ""


def matches(kubenode: KubeNode, host: Host) -> bool:
    """Whether the pool includes a host."""
    pool = kubenode.spec.pool
    wanted = pool.match_labels if pool is not None else {}
    return all(host.metadata.labels.get(key) == value for key, value in wanted.items())


def taken_by_others(
    kubenode: KubeNode,
    others: Iterable[KubeNode],
    machines: Iterable[Machine],
    hosts: Iterable[Host],
    *,
    odd: Iterable[Unreadable] = (),
) -> set[str]:
    """Hosts of the pool that another KubeNode or another Machine has.

    `odd` are KubeNodes and Machines that cannot be read: what they say of hosts counts as theirs.
    """
    found = {
        name
        for other in others
        if other.metadata.uid != kubenode.metadata.uid
        for name in other.status.claims
    }
    places = {_place(m.spec) for m in machines if not owned(m, kubenode)}
    for one in odd:
        found.update(one.texts("status", "claims"))
        places.add(_written(one))
    return found | {h.name for h in hosts if _place(h.spec) in places}


def _place(spec: HostSpec | MachineSpec) -> Spot:
    return spot(spec.address, spec.port, spec.ssh.behind)


def _written(odd: Unreadable) -> Spot:
    """The same of what cannot be read as a whole."""
    port, address = odd.number("spec", "port"), odd.text("spec", "ssh", "jump", "address")
    behind = (
        f"{address} port {odd.number('spec', 'ssh', 'jump', 'port') or PORT}" if address else ""
    )
    return spot(odd.text("spec", "address"), port or PORT, behind)


def owned(machine: Machine, kubenode: KubeNode) -> bool:
    """Whether it is that KubeNode's own."""
    return any(
        reference.uid == kubenode.metadata.uid and reference.controller
        for reference in machine.metadata.owner_references
    )


def _usable(name: str, hosts: Mapping[str, Host], machines: Mapping[str, Machine]) -> bool:
    """Whether a claimed host can go on serving: it is there to stay, and so is its Machine."""
    host, machine = hosts.get(name), machines.get(name)
    if host is None or host.deleting:
        return False
    if machine is None and host.status.used_by is not None:
        return False  # Its Machine went, and left it Dirty.
    return machine is None or not machine.deleting


def _replaced(kubenode: KubeNode, machine: Machine | None) -> bool:
    """Whether all was tried of a host, so that another one is to take its place.

    It is kept while a rollout is not through with it and does not take it back: what fails there, or
    has killed it, may be what is new, and would on the next host as well, while the rollout went on.
    """
    if machine is None or not ladder.given_up(machine.status.remediation):
        return False
    rollout = kubenode.status.rollout
    under_way = rollout is not None and rollout.ended_at is None
    row = rollout.node(machine.name) if rollout is not None and under_way else None
    return row is None or row.state in GOES_BACK


def _best(
    names: Sequence[str],
    machines: Mapping[str, Machine],
    wanted: int,
    pods: Mapping[str, int],
) -> set[str]:
    """Those that stay when there are too many: Ready ones, of these the fullest, and among equals the
    eldest."""

    def worth(name: str) -> tuple[bool, bool, int, int]:
        machine = machines.get(name)
        ready = machine is not None and machine.status.is_true("Ready")
        return not ready, machine is None, -pods.get(name, 0), names.index(name)

    return set(sorted(names, key=worth)[:wanted])
