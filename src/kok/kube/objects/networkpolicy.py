"""NetworkPolicies: peers, ranges with what is closed cut out of them, whole policies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kok.api.meta import Manifest
from kok.kube.objects.addresses import collapsed, dresses, within

Port = tuple[str, int]
"""Protocol and number."""

NAMESPACE = "kubernetes.io/metadata.name"
"""The label by which Kubernetes itself names every namespace."""
DNS_PORTS: tuple[Port, ...] = (("UDP", 53), ("TCP", 53))
_DNS_PODS = {"k8s-app": "kube-dns"}
_DNS_NAMESPACE = "kube-system"


def policy(
    name: str,
    pods: Mapping[str, str],
    *,
    ingress: Iterable[Manifest | None],
    egress: Iterable[Manifest | None],
) -> Manifest:
    """The policy of some pods of its namespace, without owner; what no rule names is closed.

    A rule that is None, for want of peers, is left out.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": dict(pods)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [rule for rule in ingress if rule is not None],
            "egress": [rule for rule in egress if rule is not None],
        },
    }


def coming(peers: Sequence[Manifest], *ports: Port) -> Manifest | None:
    """A rule of `ingress`; None without peers, where Kubernetes would take it for "from all"."""
    return {"from": list(peers), "ports": _ports(ports)} if peers else None


def from_anywhere(*ports: Port) -> Manifest:
    """A rule of `ingress` for ports that are open to all."""
    return {"ports": _ports(ports)}


def going(peers: Sequence[Manifest], *ports: Port) -> Manifest | None:
    """A rule of `egress`, for all ports if none is named; None without peers, as for `coming`."""
    if not peers:
        return None
    return {"to": list(peers), **({"ports": _ports(ports)} if ports else {})}


def pods(labels: Mapping[str, str]) -> Manifest:
    """Pods of the policy's own namespace."""
    return {"podSelector": {"matchLabels": dict(labels)}}


def pods_in(namespace: str, labels: Mapping[str, str]) -> Manifest:
    """Pods of another namespace; all of them without labels."""
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE: namespace}},
        "podSelector": {"matchLabels": dict(labels)} if labels else {},
    }


def dns(servers: Iterable[str] = ()) -> Manifest | None:
    """Name servers: the meta cluster's own ones, and further ranges."""
    peers = [pods_in(_DNS_NAMESPACE, _DNS_PODS), *ranges(servers, ())]
    return going(peers, *DNS_PORTS)


def ranges(allowed: Iterable[str], closed: Iterable[str]) -> list[Manifest]:
    """Peers for address ranges, with what is closed cut out; sorted, each address once.

    Two ranges have no address in common, or one of them holds the other: a range within a closed
    one is left out, and a closed one within it becomes an exception. An IPv4 range is closed in
    all of its dresses.
    """
    bare = collapsed(closed)
    shut = collapsed([*map(str, bare), *dresses(bare)])
    out: list[Manifest] = []
    for net in collapsed(allowed):
        same = [c for c in shut if c.version == net.version]
        if any(within(net, c) for c in same):
            continue
        block: Manifest = {"cidr": str(net)}
        if inner := [str(c) for c in same if within(c, net)]:
            block["except"] = inner
        out.append({"ipBlock": block})
    return out


def _ports(ports: Iterable[Port]) -> list[Manifest]:
    return [{"protocol": protocol, "port": number} for protocol, number in ports]
