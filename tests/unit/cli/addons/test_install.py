"""`kok addons install` and `list` as a user sees them, against an API server in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.cli.addons.things import (
    ADDONS,
    GIT,
    addon,
    gpu,
    put,
    written,
)
from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi, refusal


async def test_all_that_suits_is_installed_and_the_rest_has_a_reason(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api)
    gpu(api)
    code, out, err = await run("addons", "install", "demo", "--all", "-n", "ns")
    assert (code, err) == (0, "")
    assert {"name": "nvidia-device-plugin"} in written(api)
    lines = out.splitlines()
    assert "nvidia-device-plugin: added to spec.addons of Cluster ns/demo" in lines
    assert "coredns: is there already" in lines
    [why] = [line for line in lines if line.startswith("konnectivity-agent: ")]
    assert why.startswith("konnectivity-agent: left out: spec.network.tunnel is Never")
    followed = {line.partition(" s  ")[2] for line in lines}
    assert "nvidia-device-plugin: Ready v1: fine" in followed


async def test_what_does_not_suit_is_refused_by_name_and_nothing_is_written(
    api: FakeApi, run: Run
) -> None:
    put(api)
    code, out, err = await run("addons", "install", "demo", "nvidia-device-plugin")
    assert (code, out) == (1, "")
    assert "nvidia-device-plugin does not suit Cluster ns/demo: no Machine of the cluster" in err
    assert not api.writes


async def test_values_are_written_with_the_addon_and_other_addons_stay_as_they_are(
    api: FakeApi, run: Run, operator: None, tmp_path: Path
) -> None:
    other = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    put(api, other)
    file = tmp_path / "values.yaml"
    file.write_text("replicas: 3\n")
    settings = ("--set", "replicas=4", "--values", str(file))
    code, out, err = await run("addons", "install", "demo", "coredns", *settings)
    assert (code, err) == (0, "")
    assert written(api) == [other, {"name": "coredns", "values": {"replicas": 4}}]
    assert "coredns: changed in spec.addons of Cluster ns/demo" in out
    assert api.objects[f"{ADDONS}/demo-coredns"]["spec"]["values"] == {"replicas": 4}


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("nonsense=1", "values.nonsense: coredns does not take it"),
        ("replicas=many", "values.replicas must be a whole number"),
    ],
)
async def test_values_that_it_cannot_take_are_refused_before_anything_is_written(
    api: FakeApi, run: Run, setting: str, word: str
) -> None:
    put(api)
    code, _, err = await run("addons", "install", "demo", "coredns", "--set", setting)
    assert code == 1
    assert "ValuesInvalid" in err
    assert not api.writes


async def test_somebody_elses_change_meanwhile_is_kept(
    api: FakeApi, run: Run, operator: None
) -> None:
    put(api)
    theirs = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    raced: list[bool] = []

    async def race(request: Any) -> None:
        if not raced:
            raced.append(True)
            put(api, theirs)

    api.script("PATCH", "clusters/demo$", race)
    code, _, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 0
    assert written(api) == [theirs, {"name": "coredns", "values": {"replicas": 4}}]


async def test_of_a_cluster_that_is_kept_in_git_the_lines_for_git_are_said(
    api: FakeApi, run: Run
) -> None:
    mine = {"name": "kube-proxy", "values": {"mode": "nftables"}}
    put(api, mine, metadata=GIT)
    code, out, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 1
    assert not api.writes
    first, _, rest = out.partition("\n")
    assert first.startswith("Cluster ns/demo is kept by Argo CD as it stands in Git")
    assert yaml.safe_load(rest) == {
        "spec": {"addons": [mine, {"name": "coredns", "values": {"replicas": 4}}]}
    }


async def test_who_writes_the_spec_counts_where_there_is_no_mark(api: FakeApi, run: Run) -> None:
    wrote = {"manager": "kustomize-controller", "fieldsV1": {"f:spec": {}}}
    put(api, metadata={"managedFields": [wrote]})
    _, out, _ = await run("addons", "remove", "demo", "coredns", "--yes")
    assert "is kept by Flux" in out
    assert not api.writes


async def test_a_paused_cluster_is_written_and_not_waited_for(api: FakeApi, run: Run) -> None:
    put(api, spec={"paused": True})
    code, out, _ = await run("addons", "install", "demo", "coredns", "--set", "replicas=4")
    assert code == 0
    assert "Cluster ns/demo is paused; what is written takes effect once" in out
    assert written(api)


async def test_what_is_not_ready_in_time_is_told(api: FakeApi, run: Run) -> None:
    put(api)
    api.put(f"{ADDONS}/demo-coredns", addon("demo-coredns", "NotHealthy", "0/2"))
    code, out, _ = await run("addons", "install", "demo", "coredns", "--timeout", "0.5")
    assert code == 1
    assert "coredns: NotHealthy: 0/2" in out
    assert "not yet as asked for: coredns" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("install", "demo"), "say which addon to install, or --all"),
        (("install", "demo", "coredns", "--all"), "say which addon to install, or --all"),
        (("install", "demo", "coredns", "--chart", "oci://x/y"), "or --chart"),
        (("install", "demo", "coredns", "--version", "1"), "are for a chart of your own"),
        (("install", "demo", "--all", "--set", "a=b"), "values are one addon's"),
        (("upgrade", "demo", "coredns"), "say what to change"),
        (("install", "demo", "coredns", "--set", "a"), "write it as name=value"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_a_sentence(
    api: FakeApi, run: Run, arguments: tuple[str, ...], word: str
) -> None:
    put(api)
    code, _, err = await run("addons", *arguments)
    assert code == 1
    assert word in err


async def test_the_list_has_what_is_there_and_a_reason_for_the_rest(api: FakeApi, run: Run) -> None:
    put(api, {"name": "kube-proxy", "enabled": False})
    api.put(f"{ADDONS}/demo-coredns", addon("demo-coredns"))
    api.put(f"{ADDONS}/demo-flannel", addon("demo-flannel", "NotHealthy", "0/1\x1b[2J"))
    api.put(f"{ADDONS}/mine", addon("mine", "WaitingForNodes", source={"inline": "x" * 999}))
    api.put(f"{ADDONS}/others", {**addon("others"), "spec": {"cluster": "x", "source": {}}})
    code, out, err = await run("addons", "list", "demo")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()}
    assert rows["coredns"] == "coredns built in v1 1/1 Ready"
    assert "Pending NotHealthy: 0/1?[2J" in rows["flannel"]
    assert "Unsuitable it is switched off in spec.addons" in rows["kube-proxy"]
    assert "Unsuitable no Machine of the cluster has a GPU" in rows["nvidia-device-plugin"]
    assert "Waiting WaitingForNodes" in rows["mine"]
    assert "inline" in rows["mine"]
    assert "others" not in rows


async def test_who_may_not_list_machines_is_told_why_a_gpu_is_not_known(
    api: FakeApi, run: Run
) -> None:
    put(api)

    async def no(request: Any) -> Any:
        return refusal(403, "Forbidden", "no")

    api.script("GET", "machines", no)
    code, out, _ = await run("addons", "list", "demo")
    assert code == 0
    assert "who asks may not list Machines" in out
