"""Findings of the preflight: what keeps a host from being a node, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders

from kok.operators.machine.remote import preflight
from kok.operators.machine.remote.preflight import PreflightInput
from kok.operators.machine.remote.survey import Found
from kok.operators.machine.systems import table


def found(case: dict[str, Any] | None = None, **survey: Any) -> list[tuple[str, str, str]]:
    given: dict[str, Any] = {
        "params": {"kubelet": {}},
        "neighbours": {},
        "fetches": True,
        "begun": False,
        "base_url": "http://artifacts.example",
        "networks": ("10.64.0.0/16", "fd00:65::/112"),
    }
    survey = {"addresses": ("192.0.2.21", "2001:db8::21"), **survey}
    listed = preflight.findings(
        PreflightInput(survey=builders.survey(**survey), **{**given, **(case or {})})
    )
    return [(f.level, f.check, f.message) for f in listed]


def test_a_fit_host_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("words", "tools", "module"),
    [
        ("debian ", "`apt-get install -y iproute2 mawk mount` brings", "linux-image-6.1.0-40"),
        ("ubuntu debian", "`apt-get install -y iproute2 mawk", "linux-modules-extra-6.1.0-40"),
        ("linuxmint ubuntu debian", "`apt-get install -y", "linux-modules-extra-6.1.0-40"),
        ("rocky rhel centos fedora", "`dnf install -y gawk iproute", "kernel-modules-6.1.0-40"),
        ("opensuse-leap suse", "`zypper install -y gawk iproute2", "kernel-default"),
        ("plan9", "install the packages gawk, iproute, util-linux", "the kernel's modules"),
    ],
)
def test_what_is_missing_is_named_as_the_hosts_system_names_it(
    words: str, tools: str, module: str
) -> None:
    there = table.required(node=True) - {"ip", "awk", "mount"} | {"wget"}
    facts = {"osFamily": words, "kernel": "6.1.0-40"}
    lacks, kernel = found(facts=facts, tools=there, modules=frozenset({"overlay"}))
    assert lacks[2].startswith("the host has no awk and no ip and no mount; ")
    assert tools in lacks[2]
    assert module in kernel[2]


def test_a_host_that_serves_goes_on_without_a_program() -> None:
    there = table.required(node=True) - {"pgrep"} | {"curl"}
    ((level, check, message),) = found({"begun": True}, tools=there)
    assert (level, check) == ("Warning", "Tools")
    assert message == "the host has no pgrep; install the packages procps-ng"


@pytest.mark.parametrize(
    ("check", "survey", "advice"),
    [
        ("OperatingSystem", {"facts": {"system": "FreeBSD"}}, "only Linux can serve"),
        ("Architecture", {"facts": {"machine": "riscv64"}}, "riscv64; only amd64 and arm64"),
        ("Systemd", {"facts": {"systemd": "no"}}, "not started by systemd"),
        (
            "Tools",
            {"tools": frozenset({"curl"})},
            "no tar; install the packages coreutils, findutils, gawk, iproute, iptables, kmod",
        ),
        ("KernelModules", {"modules": frozenset({"overlay"})}, "no module br_netfilter"),
        ("CgroupVersion", {"facts": {"cgroup": "v1"}}, "kubelet: {failCgroupV1: false}"),
        ("Memory", {"facts": {"memoryKi": "409600"}}, "400 MiB of memory; give it 700 or more"),
        ("Disk", {"facts": {"disk": "1048576"}}, "1024 MiB are free below /var/lib"),
        ("Clock", {"skew": -3600.0}, "3600 s behind the operator's"),
        ("Ports", {"ports": frozenset({22, 10250})}, "port 10250 of the host is in use"),
        ("ForeignSoftware", {"units": frozenset({"kubelet"})}, "a kubelet that KOK did not"),
        (
            "AddressOverlap",
            {"addresses": ("192.0.2.21", "10.64.3.4", "fd00::21")},
            "the host's address 10.64.3.4 lies in 10.64.0.0/16, which the Cluster uses",
        ),
        (
            "AddressFamily",
            {"addresses": ("192.0.2.21",)},
            "the host has no IPv6 address, but the Cluster uses fd00:65::/112",
        ),
        ("AddressFamily", {"facts": {"ipv6Disabled": "1"}}, "IPv6 is switched off on the host"),
        ("AddressFamily", {"addresses": ("2001:db8::21",)}, "the host has no IPv4 address"),
        ("Resolver", {"nameservers": ()}, "/etc/resolv.conf of the host names no name server"),
        ("Resolver", {"nameservers": ("127.0.0.1",)}, "names 127.0.0.1, which in a pod is the pod"),
        ("Resolver", {"nameservers": ("192.0.2.53", "127.0.0.53")}, "names 127.0.0.53, which"),
        ("Resolver", {"nameservers": ("::1",)}, "kubelet: {resolvConf: ...} in the KubeNode"),
        (
            "Artifacts",
            {"unreachable": {"http://artifacts.example/": "timed out"}},
            "(artifacts) cannot be reached from the host: timed out",
        ),
    ],
)
def test_what_keeps_a_host_from_being_a_node(
    check: str, survey: dict[str, Any], advice: str
) -> None:
    ((level, name, message),) = found(**survey)
    assert (level, name) == ("Error", check)
    assert advice in message


@pytest.mark.parametrize(
    ("check", "survey"),
    [
        ("Memory", {"facts": {"memoryKi": "1048576"}}),
        ("Clock", {"skew": 10.0}),
        ("Swap", {"facts": {"swap": "1"}}),
        ("Registry", {"unreachable": {"http://mirror.example/v2/": "refused"}}),
        ("ForeignSoftware", {"units": frozenset({"docker"})}),
    ],
)
def test_what_is_only_told(check: str, survey: dict[str, Any]) -> None:
    ((level, name, _),) = found(**survey)
    assert (level, name) == ("Warning", check)


def test_a_host_without_kubelet_needs_less() -> None:
    bare = {
        "facts": {"systemd": "no", "cgroup": "v1"},
        "modules": frozenset(),
        "ports": frozenset({10250}),
    }
    assert found({"params": {"agent": {}}}, **bare) == []


def test_wget_does_as_well_as_curl() -> None:
    tools = builders.survey().tools - {"curl"} | {"wget"}
    assert found(tools=tools) == []


def test_cgroup_v1_is_fine_where_the_kubelet_is_told_so() -> None:
    params = {"kubelet": {"config": {"failCgroupV1": False}}}
    assert found({"params": params}, facts={"cgroup": "v1"}) == []


def test_a_hosts_own_addresses_of_pods_are_no_obstacle() -> None:
    assert found({"begun": True}, addresses=("192.0.2.21", "10.64.3.1")) == []


def test_the_operators_own_software_is_no_obstacle() -> None:
    own = {"kubelet": Found(begun=True), "containerd": Found(begun=True)}
    units = frozenset({"kubelet", "containerd"})
    assert found({"begun": True}, units=units, found=own, ports=frozenset({10250})) == []


def test_artifacts_matter_only_while_something_is_to_be_fetched() -> None:
    unreachable = {"http://artifacts.example/": "refused"}
    assert found({"fetches": False}, unreachable=unreachable) == []


def test_likeness_to_a_neighbour_is_told() -> None:
    twin = {"other": {"hostname": "worker-1", "machineID": "f" * 32}}
    assert [(level, check) for level, check, _ in found({"neighbours": twin})] == [
        ("Warning", "Hostname"),
        ("Warning", "MachineID"),
    ]


def test_errors_come_first_and_make_the_sentence() -> None:
    listed = preflight.findings(
        PreflightInput(
            survey=builders.survey(skew=10.0, facts={"machine": "riscv64"}),
            params={},
            neighbours={},
            fetches=True,
            begun=False,
        )
    )
    assert [f.level for f in listed] == ["Error", "Warning"]
    assert preflight.sentence(listed) == listed[0].message
    assert not preflight.passed(listed)


def test_name_servers_of_a_node_that_serves_are_a_warning_and_a_file_of_ones_own_counts() -> None:
    ((level, check, _),) = found({"begun": True}, nameservers=("127.0.0.1",))
    assert (level, check) == ("Warning", "Resolver")
    own = {"params": {"kubelet": {"config": {"resolvConf": "/etc/pods-resolv.conf"}}}}
    assert found(own, nameservers=()) == []
    assert found({"params": {}}, nameservers=()) == []


def test_a_cluster_of_one_family_asks_for_no_other() -> None:
    only = {"networks": ("10.64.0.0/16", "10.65.0.0/20")}
    assert found(only, addresses=("192.0.2.21",), facts={"ipv6Disabled": "1"}) == []


def test_what_a_host_has_that_is_taken_over_as_it_is_is_in_nobodys_way() -> None:
    node = {"units": frozenset({"containerd", "kubelet"}), "ports": frozenset({10250})}
    software = {"params": {"kubelet": {}, "containerd": {}}}
    refused = {check: text for _, check, text in found(software, **node)}
    assert set(refused) == {"Ports", "ForeignSoftware"}
    assert "adopt" not in refused["ForeignSoftware"]
    told = {check: text for _, check, text in found({**software, "member": True}, **node)}
    assert "write adopt: true and onRemove: Release" in told["ForeignSoftware"]
    assert found({**software, "begun": True, "adopts": True}, **node) == []
