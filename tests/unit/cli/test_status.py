"""`kok status` and `kok doctor` as a user sees them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console
from tests.unit.cli.things import (
    NOW,
    PATH,
    SECRET,
    Run,
    admins,
    cluster,
    condition,
    lay,
)
from tests.unit.fakeapi import FakeApi, refusal

from kok.api import KINDS
from kok.cli.query import row_of
from kok.cli.table import age, table
from kok.kube.budget.limits import META
from kok.kube.client import Kube


async def test_the_status_shows_objects_and_what_is_wrong(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd [x] is starting")))
    api.put(PATH.format("b"), cluster("b", **condition("True", "Serving", "all well")))

    _, one, _ = await run("status")
    _, every, _ = await run("status", "-A")

    assert [line.split()[:3] for line in one.splitlines()[1:]] == [["Cluster", "ns", "demo"]]
    assert "NoEtcd: etcd [x] is starting" in one
    assert {line.split()[1] for line in every.splitlines()[1:]} == {"ns", "b"}
    assert "all well" not in every


async def test_what_one_tenant_stores_hides_nobody_elses_objects(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd is starting")))
    addons = "/apis/kok.dev/v1alpha1/namespaces/bad/addons/a{}"
    values = {"x": [[]] * 20_000}
    for number in range(50):
        path = addons.format(number)
        api.put(path, {**cluster("bad"), "kind": "Addon", "spec": {"values": values}})
    # Of what is large there little is shown.
    code, out, _ = await run("status", "-A")
    assert (code, len(out.splitlines())) == (0, 52)
    # What is too much all the same is said, and is of one kind.
    limits = replace(META, everywhere=5_000)
    monkeypatch.setattr("kok.cli.query.Kube", partial(Kube, limits=limits))
    code, out, _ = await run("status", "-A")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "etcd is starting" in out
    (line,) = [line for line in out.splitlines() if line.startswith("Addon")]
    assert "TooLarge: " in line
    assert "answered with a list of" in line


async def test_the_status_knows_every_kind_that_has_something_to_tell(
    api: FakeApi, run: Run
) -> None:
    for kind in KINDS:
        info = kind.info.kind
        path = f"/apis/kok.dev/v1alpha1/namespaces/ns/{info.plural}/one"
        api.put(path, {**cluster(), "kind": info.kind})

    _, out, _ = await run("status")

    shown = [line.split()[0] for line in out.splitlines()[1:]]
    assert shown[0] == "Cluster"
    assert set(shown) == {k.info.kind.kind for k in KINDS} - {"Component"}


async def test_nothing_that_a_stranger_says_rules_the_terminal(
    api: FakeApi, joined: FakeApi, run: Run
) -> None:
    said = "\x1b]0;x\x07\x9b2J\u202eevil\nCluster ns other"
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", said)))
    api.drop(SECRET)
    entry = {
        **dict.fromkeys(("namespace", "machine", "cluster", "address"), "x"),
        "since": "2026-01-01T22:00:00Z",
        "why": said,
        "left": said,
    }
    api.put(LIST, {"data": {"uid-1": json.dumps(entry)}})
    shown = "?]0;x??2J?evil"

    _, status, _ = await run("status")
    _, doctor, _ = await run("doctor")
    _, _, refused = await run("kubeconfig", "demo")
    lay(api, admins(joined.address))
    joined.script("GET", "/nodes", lambda _: answer(422, said))
    _, _, business = await run("node", "approve", "demo", "w7")

    for text in (status, doctor, refused, business):
        assert shown in text
        assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert len(status.splitlines()) == len(doctor.splitlines()) == 2


async def answer(status: int, message: str) -> web.StreamResponse:
    """What an API server refuses with."""
    return refusal(status, "Invalid", message)


async def test_a_narrow_terminal_hides_nothing(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    why = "EtcdCluster ns/demo-etcd: demo-etcd-0: waits for its volume"
    api.put(PATH.format("ns"), cluster(**condition("False", "WaitingForEtcd", why)))

    _, out, _ = await run("status")

    assert out.splitlines()[1].endswith(f"WaitingForEtcd: {why}")


@pytest.mark.parametrize("odd", [["x"], "abc", {"type": "Ready"}, [None, {"type": ["Ready"]}]])
async def test_an_odd_status_hides_nobody_elses(api: FakeApi, run: Run, odd: Any) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd is starting")))
    api.put(PATH.format("b"), {**cluster("b"), "status": {"conditions": odd}})
    code, out, _ = await run("status", "-A")
    assert (code, len(out.splitlines())) == (0, 3)


async def test_nothing_found_is_said(run: Run) -> None:
    assert (await run("status"))[1] == "no objects of KOK found; look into all namespaces with -A\n"


LIST = "/api/v1/namespaces/kok-system/configmaps/kok-abandoned-hosts"


async def test_the_doctor_lists_hosts_that_were_left_uncleaned_whatever_became_of_their_namespace(
    api: FakeApi, run: Run
) -> None:
    entry = {
        "namespace": "gone",
        "machine": "workers-w1",
        "cluster": "demo",
        "address": "192.0.2.21",
        "since": "2026-01-01T22:00:00Z",
        "why": "host 192.0.2.21 does not answer [over SSH]",
        "left": "stop pods, remove /var/lib/kok",
    }
    api.put(LIST, {"data": {"uid-1": json.dumps(entry), "odd": "not of ours"}})
    code, out, _ = await run("doctor")
    assert code == 0
    (line,) = out.splitlines()[1:]
    assert line.split()[:3] == ["192.0.2.21", "gone/workers-w1", "gone/demo"]
    assert "does not answer [over SSH]" in line
    assert line.endswith("stop pods, remove /var/lib/kok")
    assert await run("doctor", "--cleaned", "uid-1") == (0, "", "")
    assert await run("doctor") == (0, "no host was left without a clean-up\n", "")
    code, _, err = await run("doctor", "--cleaned", "uid-1")
    assert (code, err) == (1, "kok: no abandoned host has the ID uid-1; kok doctor lists them\n")


async def test_the_doctor_tells_hosts_with_one_address_apart_by_their_bastions(
    api: FakeApi, run: Run
) -> None:
    entry = {"namespace": "a", "machine": "m", "cluster": "c", "address": "10.0.0.1"}
    found = {
        f"uid-{n}": json.dumps({**entry, "since": f"2026-01-01T2{n}:00:00Z", "jump": jump})
        for n, jump in enumerate(("", "203.0.113.9 port 2201"))
    }
    api.put(LIST, {"data": found})
    one, other = (await run("doctor"))[1].splitlines()[1:]
    assert one.startswith("10.0.0.1 ")
    assert "bastion" not in one
    assert other.startswith("10.0.0.1 (behind bastion 203.0.113.9 port 2201) ")


async def test_the_doctor_says_where_it_looked(run: Run) -> None:
    code, _, err = await run("doctor", "--operators", "elsewhere")
    assert code == 1
    assert err == (
        "kok: there is no ConfigMap kok-abandoned-hosts in namespace elsewhere; say with "
        "--operators where the operators of KOK run\n"
    )


def test_a_row_of_an_object_without_status() -> None:
    row = row_of(cluster(), NOW)
    assert (row.ready, row.phase, row.age) == (None, "", 7200.0)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table([row]))
    assert shown.get().splitlines()[1].split() == ["Cluster", "ns", "demo", "-", "2h"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (61, "1m"), (7300, "2h"), (2e6, "23d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text
