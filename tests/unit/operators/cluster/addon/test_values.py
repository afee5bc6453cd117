"""What built-in addons cannot take is told before anything is applied."""

from __future__ import annotations

import tracemalloc
from typing import Any, cast

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.addons import NAMES
from kok.api.cluster.addon import Addon
from kok.kube.client import Kube
from kok.operators.cluster.addon.bundle import Bundle, BundleRenderer
from kok.operators.cluster.addon.context import context_of
from kok.operators.cluster.addon.render import Template, builtin, render
from kok.runtime.controller.errors import Invalid
from kok.runtime.sandbox.pool import SandboxPool


async def bundle(name: str, values: dict[str, Any], version: str = "1.37.1") -> Bundle:
    """What an Addon comes to; nobody is asked for it."""
    status = {"endpoint": "https://192.0.2.10:31443", "version": version}
    context = context_of(a_cluster(status=status))
    assert context is not None
    spec = {"cluster": "shop", "source": {"builtin": name}, "values": values}
    addon = Addon.parse({"metadata": {"name": "a", "namespace": "ns"}, "spec": spec})
    return await BundleRenderer(SandboxPool()).bundle(cast("Kube", None), addon, context)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kube-proxy", {}),
        ("kube-proxy", {"mode": "nftables", "conntrack": {"maxPerCore": 0, "min": 0}}),
        ("kube-proxy", {"config": {"iptables": {"minSyncPeriod": "1s"}, "oomScoreAdj": -999}}),
        ("kube-proxy", {"config": None, "resources": {"limits": {"cpu": 1}}}),
        ("coredns", {"replicas": 3, "forward": "192.0.2.53"}),
        ("coredns", {"replicas": "3", "extraConfig": "log\nerrors"}),
        ("flannel", {"backend": {"Type": "host-gw"}}),
    ],
)
async def test_what_an_addon_takes_is_rendered(name: str, values: dict[str, Any]) -> None:
    assert (await bundle(name, values)).manifests


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        (
            "kube-proxy",
            {"config": {"iptable": {}}},
            "values.config.iptable is no field of the KubeProxyConfiguration of 1.37; "
            "did you mean iptables?",
        ),
        (
            "kube-proxy",
            {"config": {"iptables": {"masqueradeBit": "x"}}},
            'values.config.iptables.masqueradeBit must be a whole number, not "x"',
        ),
        (
            "kube-proxy",
            {"conntrack": {"maxPerCores": 0}},
            "values.conntrack.maxPerCores is no field of the KubeProxyConfiguration of 1.37; "
            "did you mean maxPerCore?",
        ),
        ("kube-proxy", {"mode": 7}, "values.mode must be a text, not 7"),
        (
            "kube-proxy",
            {"config": {"mode": "ipvs"}},
            "values.config.mode is not taken; write values",
        ),
        (
            "kube-proxy",
            {"config": {"clusterCIDR": "10.0.0.0/8"}},
            "it follows spec.network.podCIDRs",
        ),
        ("kube-proxy", {"config": "x"}, 'values.config must be a map of fields, not "x"'),
        ("coredns", {"resources": 5}, "values.resources must be a map of fields, not 5"),
        (
            "coredns",
            {"forward": ["192.0.2.53"]},
            'values.forward must be a single value, not ["192',
        ),
        ("coredns", {"replicas": "many"}, 'values.replicas must be a whole number, not "many"'),
        ("coredns", {"replicas": True}, "values.replicas must be a whole number, not true"),
        ("coredns", {"forward": "a\nb"}, 'values.forward must be one line, not "a\\nb"'),
        ("flannel", {"interface": "a\nb"}, 'values.interface must be one line, not "a\\nb"'),
    ],
)
async def test_what_an_addon_cannot_take_is_named_with_its_place(
    name: str, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await bundle(name, values)
    assert caught.value.reason == "ValuesInvalid"
    assert problem in caught.value.message


async def test_fields_are_those_of_the_version_that_runs() -> None:
    with pytest.raises(Invalid, match=r"KubeProxyConfiguration of 1\.36"):
        await bundle("kube-proxy", {"config": {"x": 1}}, version="1.36.4")


LINES = "1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\n"
"""What would be an object of its author's own, if it stood in a template as it is."""


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_a_built_in_addon_is_yaml_of_its_authors(name: str) -> None:
    """Not even one that no check has seen: such a template is rendered in the operator's process."""
    (template, defaults), status = builtin(name), {"endpoint": "https://192.0.2.10:31443"}
    context = context_of(a_cluster(status=status))
    assert context is not None
    for field, default in defaults.items():
        harmless = {"x": "y"} if isinstance(default, dict) else "y"
        try:
            count = len(render([template], context, {**defaults, field: harmless}, "a"))
        except Invalid:
            count = len(render([template], context, defaults, "a"))
        for text in (
            LINES,
            LINES.replace("\n", "\r"),
            LINES.replace("\n", "\u2028"),
            '"x": *a # {{ 1 }}',
        ):
            values = {**defaults, field: {"x": text} if isinstance(default, dict) else text}
            try:
                found = render([template], context, values, "a")
            except Invalid:
                continue
            assert len(found) == count, field
            assert not any(one["metadata"]["name"] == "mine" for one in found)


def test_what_aliases_make_large_is_refused_before_it_is_written_out() -> None:
    context = context_of(a_cluster(status={"endpoint": "https://192.0.2.10:31443"}))
    assert context is not None
    tree = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 5))
    for leaf in ('"' + "x" * 12_000 + '"', "{" + "x" * 1000 + ": 1}"):
        text = f"{LINES.removeprefix('1')}a0: &a0 {leaf}\n{tree}"
        tracemalloc.start()
        with pytest.raises(Invalid, match=r"the objects hold more than \d+ characters in all"):
            render([Template("inline", text)], context, {}, "mine")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10 * 2**20
