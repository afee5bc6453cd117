"""Can a host become a node? Every finding with what to do about it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kok.api.machine.machine import Finding
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.survey import Survey
from kok.operators.machine.systems import table
from kok.runtime.redact import redact_text

MEMORY_MI = 700
"""Least memory: kubelet, runtime and the pods that every node has."""
MEMORY_ADVISED_MI = 1700
DISK_MI = 2048
SKEW_WARNING = 5.0
SKEW_LIMIT = 60.0
"""Seconds; certificates are back-dated by minutes, but tokens are short-lived."""
EACH, NAMED, MESSAGE = 8, 5, 2048
"""Findings of one check, those that one sentence names, and characters of one: a host may tell of
many things that are wrong with it."""


@dataclass(frozen=True, slots=True)
class PreflightInput:
    """All that the checks look at."""

    survey: Survey
    params: Mapping[str, Mapping[str, Any]]
    """Parameters by component."""
    neighbours: Mapping[str, Mapping[str, str]]
    """`hostname` and `machineID` of the cluster's other Machines, by name."""
    fetches: bool
    """Whether anything has still to be fetched onto the host."""
    begun: bool
    """Whether KOK has begun to install here: then its own software is no obstacle."""
    adopts: bool = False
    """Whether the host is taken over with the software that it has."""
    member: bool = False
    """Whether it is a node of the Machine's Cluster, and nobody asked to take it over."""
    base_url: str = ""
    networks: tuple[str, ...] = ()
    """Ranges of the cluster's pods and Services."""
    services: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The services of components, wanted ones and such as are there, by name; one that is not in it
    has a service of its own name, or none."""

    @property
    def node(self) -> bool:
        """Whether a kubelet is to run on the host."""
        return host_paths.KUBELET in self.params


Check = Callable[[PreflightInput], Iterable[Finding]]


def findings(given: PreflightInput) -> list[Finding]:
    """All findings, errors first; the host is fit if there is no error among them."""
    found = [finding for check in _CHECKS for finding in _foremost(check(given))]
    return _gravest_first(found)


def _foremost(found: Iterable[Finding]) -> list[Finding]:
    """The gravest findings of one check, and how many more there are."""
    listed = _gravest_first(found)
    more = len(listed) - EACH
    if more <= 0:
        return listed
    first = listed[EACH]
    return [*listed[:EACH], _finding(first.check, f"and {more} more of this kind", first.level)]


def _gravest_first(found: Iterable[Finding]) -> list[Finding]:
    return sorted(found, key=lambda f: f.level != "Error")


def sentence(found: Iterable[Finding]) -> str:
    """The findings of the gravest level in one line, or how many more there are."""
    listed = list(found)
    named = [f.message for f in listed if f.level == "Error"] or [f.message for f in listed]
    if len(named) > NAMED:
        named[NAMED:] = [f"{len(named) - NAMED} more in status.preflight"]
    return "; ".join(named)


def passed(found: Iterable[Finding]) -> bool:
    """Whether no finding is an error."""
    return all(f.level != "Error" for f in found)


def _finding(check: str, message: str, level: Literal["Error", "Warning"] = "Error") -> Finding:
    return Finding(check=check, level=level, message=message[:MESSAGE])


def _system(given: PreflightInput) -> Iterable[Finding]:
    facts = given.survey.facts
    if facts.get("system") not in (None, "", "Linux"):
        yield _finding("OperatingSystem", f"the host runs {facts['system']}; only Linux can serve")
    if given.survey.arch not in ("amd64", "arm64"):
        yield _finding(
            "Architecture",
            f"the host's processor is {given.survey.arch}; only amd64 and arm64 can serve",
        )
    if facts.get("systemd") == "no" and given.node:
        yield _finding(
            "Systemd",
            "the host was not started by systemd, which runs the kubelet; use one that is",
        )


def _tools(given: PreflightInput) -> Iterable[Finding]:
    tools, family = given.survey.tools, _system_of(given)
    lacking = table.required(node=given.node) - tools
    packages = {family.package(program) for program in lacking}
    if not tools & set(table.downloaders()):
        lacking |= {table.downloaders()[0]}
        packages.add(table.downloaders()[0])
    if lacking:
        yield _finding(
            "Tools",
            f"the host has no {' and no '.join(sorted(lacking))}; {family.bringing(packages)}",
            # One that serves goes on; what cannot be done there says so itself.
            "Warning" if given.begun else "Error",
        )


def _kernel(given: PreflightInput) -> Iterable[Finding]:
    missing = sorted(table.modules() - given.survey.modules)
    if missing and given.node:
        what = _system_of(given).modules_of(given.survey.facts.get("kernel", ""))
        yield _finding(
            "KernelModules", f"the kernel has no module {' and no module '.join(missing)}; {what}"
        )


def _system_of(given: PreflightInput) -> table.Family:
    return table.family(given.survey.facts.get("osFamily", ""))


def _cgroup(given: PreflightInput) -> Iterable[Finding]:
    config = given.params.get(host_paths.KUBELET, {}).get("config")
    fails = config.get("failCgroupV1", True) if isinstance(config, Mapping) else True
    if given.node and given.survey.facts.get("cgroup") == "v1" and fails:
        yield _finding(
            "CgroupVersion",
            "the host uses cgroup v1, with which the kubelet does not start; boot it with "
            "systemd.unified_cgroup_hierarchy=1, or write kubelet: {failCgroupV1: false} in the "
            "KubeNode",
        )


def _size(given: PreflightInput) -> Iterable[Finding]:
    survey = given.survey
    if survey.memory_mi < MEMORY_MI:
        yield _finding(
            "Memory", f"the host has {survey.memory_mi} MiB of memory; give it {MEMORY_MI} or more"
        )
    elif survey.memory_mi < MEMORY_ADVISED_MI:
        yield _finding(
            "Memory",
            f"the host has {survey.memory_mi} MiB of memory; {MEMORY_ADVISED_MI} or more are "
            "advisable",
            "Warning",
        )
    if not given.begun and survey.disk_mi < DISK_MI:
        yield _finding(
            "Disk",
            f"{survey.disk_mi} MiB are free below /var/lib; free {DISK_MI} MiB or more",
        )


def _clock(given: PreflightInput) -> Iterable[Finding]:
    skew = given.survey.skew
    if abs(skew) <= SKEW_WARNING:
        return
    way = "ahead of" if skew > 0 else "behind"
    yield _finding(
        "Clock",
        f"the host's clock is {abs(skew):.0f} s {way} the operator's; set up time "
        "synchronisation on both",
        "Error" if abs(skew) > SKEW_LIMIT else "Warning",
    )


def _ports(given: PreflightInput) -> Iterable[Finding]:
    if given.begun or not given.node:
        return
    used = sorted(given.survey.ports & set(host_paths.KUBELET_PORTS))
    if used:
        yield _finding(
            "Ports",
            f"port {' and '.join(map(str, used))} of the host is in use, which the kubelet needs; "
            "stop what listens there (see `ss -ltnp`)",
        )


def _foreign(given: PreflightInput) -> Iterable[Finding]:
    survey = given.survey
    begun = {name for name, found in survey.found.items() if found.begun}
    own = set[str]().union(*(given.services.get(name) or (name,) for name in begun))
    ours = set[str]().union(*(given.services.get(name) or (name,) for name in given.params))
    rivals = sorted(survey.units - own - ours)
    taken = sorted((survey.units & ours) - own)
    if taken and not given.adopts:
        advice = "remove it with its configuration first"
        if given.member:
            advice = (
                "it is the node of that name of this very Cluster: write adopt: true and onRemove: "
                f"Release, so that it is taken over as it is, or {advice}"
            )
        yield _finding(
            "ForeignSoftware",
            f"the host already has a {' and a '.join(taken)} that KOK did not install; {advice}",
        )
    if rivals:
        yield _finding(
            "ForeignSoftware",
            f"the host also has {', '.join(rivals)}, which may get in the way of the node",
            "Warning",
        )


def _reach(given: PreflightInput) -> Iterable[Finding]:
    for url, problem in sorted(given.survey.unreachable.items()):
        source = bool(given.base_url) and url.startswith(given.base_url)
        if source and not given.fetches:
            continue
        what = "artifacts" if source else "the image registry"
        yield _finding(
            "Artifacts" if source else "Registry",
            f"{redact_text(url)} ({what}) cannot be reached from the host: {redact_text(problem)}; "
            "check address, name resolution, proxy and firewall",
            "Error" if source else "Warning",
        )


def _overlap(given: PreflightInput) -> Iterable[Finding]:
    """Later on the host has addresses of pods itself."""
    if given.begun or not given.node:
        return
    for text in given.survey.addresses:
        for network in given.networks:
            if _within(text, network):
                yield _finding(
                    "AddressOverlap",
                    f"the host's address {text} lies in {network}, which the Cluster uses for pods "
                    "or Services; create the Cluster with other ranges in spec.network, or use "
                    "another host",
                )


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _resolver(given: PreflightInput) -> Iterable[Finding]:
    """Pods take over the name servers of the host, and CoreDNS forwards to them."""
    config = given.params.get(host_paths.KUBELET, {}).get("config")
    if not given.node or (isinstance(config, Mapping) and "resolvConf" in config):
        return
    listed = given.survey.nameservers
    local = [server for server in listed if _loopback(server)]
    if listed and not local:
        return
    file = given.survey.facts.get("resolver", "/etc/resolv.conf")
    what = (
        f"{file} of the host names {', '.join(local[:3])}, which in a pod is the pod itself"
        if local
        else f"{file} of the host names no name server"
    )
    yield _finding(
        "Resolver",
        f"{what}; write name servers there that pods can reach, or name a file that has such "
        "with kubelet: {resolvConf: ...} in the KubeNode",
        "Warning" if given.begun else "Error",
    )


def _loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return server == "localhost"


def _families(given: PreflightInput) -> Iterable[Finding]:
    """A host needs an address of each family that its pods have."""
    if given.begun or not given.node or not given.survey.addresses:
        return
    disabled = given.survey.facts.get("ipv6Disabled") == "1"
    own = {_ip_family(address) for address in given.survey.addresses}
    for network in given.networks:
        family = _ip_family(network)
        if family is None or (family in own and not (family == 6 and disabled)):
            continue
        why = (
            "IPv6 is switched off on the host (sysctl net.ipv6.conf.all.disable_ipv6)"
            if family == 6 and disabled
            else f"the host has no IPv{family} address"
        )
        yield _finding(
            "AddressFamily",
            f"{why}, but the Cluster uses {network}; give the host one, or create the Cluster "
            f"without IPv{family} ranges in spec.network",
        )
        return


def _ip_family(text: str) -> int | None:
    try:
        return ipaddress.ip_network(text, strict=False).version
    except ValueError:
        return None


def _unique(given: PreflightInput) -> Iterable[Finding]:
    facts = given.survey.facts
    for name, other in sorted(given.neighbours.items()):
        if facts.get("hostname") and facts["hostname"] == other.get("hostname"):
            yield _finding(
                "Hostname",
                f"Machine {name} of the same cluster has the same host name "
                f"{facts['hostname']}; give each host a name of its own",
                "Warning",
            )
        if facts.get("machineID") and facts["machineID"] == other.get("machineID"):
            yield _finding(
                "MachineID",
                f"Machine {name} of the same cluster has the same /etc/machine-id; empty that "
                "file on one of them and run systemd-machine-id-setup",
                "Warning",
            )


def _swap(given: PreflightInput) -> Iterable[Finding]:
    if given.survey.facts.get("swap", "0") not in ("", "0"):
        yield _finding(
            "Swap",
            "the host has swap, which is left as it is; pods use none of it unless kubelet: "
            "{memorySwap: ...} says so",
            "Warning",
        )


_CHECKS: tuple[Check, ...] = (
    _system,
    _tools,
    _kernel,
    _cgroup,
    _size,
    _clock,
    _ports,
    _foreign,
    _overlap,
    _families,
    _resolver,
    _reach,
    _unique,
    _swap,
)
