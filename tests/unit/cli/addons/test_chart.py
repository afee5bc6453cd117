"""`kok addons install --chart` as a user sees it, against an API server in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from tests.unit.cli.addons.things import ADDONS, GIT, addon, put
from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi

from kok import pki
from kok.kube import watch as watching

OCI = ("--chart", "oci://registry.example:5000/charts/ingress", "--version", "^1.2")
MINE = f"{ADDONS}/ingress"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches that end begin again without a pause."""
    monkeypatch.setattr(watching.random, "uniform", lambda *_: 0.0)


@pytest.fixture(autouse=True)
def kinds(api: FakeApi) -> None:
    """The server knows Addons."""

    async def known(_request: web.Request) -> web.Response:
        addons = {"kind": "Addon", "name": "addons", "namespaced": True}
        return web.json_response({"resources": [addons]})

    api.script("GET", "/kok.dev/v1alpha1$", known)


def answering(api: FakeApi, reason: str, message: str = "fine") -> None:
    """The cluster operator says that of the Addon once it is there."""

    def work() -> None:
        if MINE in api.objects and not api.objects[MINE].get("status"):
            live = api.objects[MINE]
            api.put(MINE, {**live, "status": addon("ingress", reason, message)["status"]})

    async def watched(request: Any) -> None:
        if "watch" in request.query:
            asyncio.get_running_loop().call_later(0.1, work)

    api.script("GET", "addons$", watched)


async def test_a_chart_becomes_an_addon_and_is_followed(api: FakeApi, run: Run) -> None:
    put(api)
    answering(api, "AsWanted")
    code, out, err = await run(
        *("addons", "install", "demo", *OCI, "-n", "ns"),
        *("--set", "controller.replicas=2", "--set", "other=null", "--secret", "login"),
        *("--release-namespace", "ingress"),
    )
    assert (code, err) == (0, "")
    assert api.objects[MINE]["spec"] == {
        "cluster": "demo",
        "source": {
            "helm": {
                "repository": "oci://registry.example:5000/charts",
                "chart": "ingress",
                "version": "^1.2",
                "namespace": "ingress",
                "createNamespace": True,
                "secret": "login",
            }
        },
        "values": {"controller": {"replicas": 2}},
    }
    assert "ingress: Addon ns/ingress is created" in out
    assert out.splitlines()[-1].endswith("ingress: Ready v1: fine")


async def test_a_chart_of_a_repository_may_have_another_name(api: FakeApi, run: Run) -> None:
    put(api)
    where = ("--chart", "https://charts.example/stable/Odd_Name/", "--version", "1.2.3")
    code, _, err = await run("addons", "install", "demo", *where)
    assert code == 1
    assert "Odd_Name is no name of an Addon" in err
    assert "by --name" in err
    code, _, _ = await run(
        "addons", "install", "demo", *where, "--name", "odd", "--timeout", "0", "-n", "ns"
    )
    assert code == 0
    helm = api.objects[f"{ADDONS}/odd"]["spec"]["source"]["helm"]
    assert helm == {
        "repository": "https://charts.example/stable",
        "chart": "Odd_Name",
        "version": "1.2.3",
    }


async def test_of_a_file_with_a_ca_the_certificates_are_sent_and_nothing_else(
    api: FakeApi, run: Run, tmp_path: Path
) -> None:
    put(api)
    authority = pki.new_ca("charts", datetime(2026, 1, 1, tzinfo=UTC))
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.key_pem + authority.cert_pem)
    code, _, err = await run(
        "addons", "install", "demo", *OCI, "--ca", str(file), "--timeout", "0", "-n", "ns"
    )
    assert (code, err) == (0, "")
    assert api.objects[MINE]["spec"]["source"]["helm"]["ca"] == authority.cert_pem.decode()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"hello", "name a file with a CA's certificate"),
        (b" " * 70_000, "is larger than 64 KiB"),
    ],
)
async def test_a_file_without_a_ca_is_refused(
    api: FakeApi, run: Run, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    put(api)
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    code, _, err = await run("addons", "install", "demo", *OCI, "--ca", str(file))
    assert code == 1
    assert f"kok: --ca {file}" in err
    assert sentence in err
    assert not api.writes


async def test_what_waiting_does_not_mend_ends_the_command(api: FakeApi, run: Run) -> None:
    put(api)
    answering(api, "SourceMissing", "there is no such chart")
    code, out, _ = await run("addons", "install", "demo", *OCI)
    assert code == 1
    assert out.splitlines()[-1].endswith("ingress: SourceMissing: there is no such chart")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("oci://r.example/c/x",), "say which version of the chart, by --version"),
        (("oci://r.example/c/x", "--version", "new"), "--version: "),
        (("http://r.example/x", "--version", "1"), "charts are fetched over TLS"),
        (("x", "--version", "1"), "write oci://registry.example/charts/NAME"),
        (("oci://x", "--version", "1"), "the name of the chart is missing"),
        (("oci://r.example/c/x:1.2", "--version", "1.2"), "write it as --version"),
        (("https://r.example/x-1.tgz", "--version", "1"), "is an archive"),
        (("https://me:pw@r.example/x", "--version", "1"), "name that by --secret"),
        (("oci://r.example/c/traefik", "--version", "1"), "the name of a built-in addon"),
        (("oci://r.example/c/demo-coredns", "--version", "1"), "the name of a built-in addon"),
        (("oci://r.example/c/x", "--version", "1", "--name", "X"), "no name of an Addon"),
        (("oci://r.example/c/x", "--version", "1", "--name", ""), "no name of an Addon"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_written(
    api: FakeApi, run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    put(api)
    code, _, err = await run("addons", "install", "demo", "--chart", *arguments)
    assert code == 1
    assert sentence in err
    assert "pw@" not in err
    assert not api.writes


async def test_an_addon_that_is_there_is_left_as_it_is(api: FakeApi, run: Run) -> None:
    put(api)
    api.put(MINE, addon("ingress", source={"inline": "x"}))
    code, _, err = await run("addons", "install", "demo", *OCI)
    assert code == 1
    assert "Addon ns/ingress is there already; change it by kok addons upgrade demo ingress" in err
    api.put(MINE, addon("ingress", source={"inline": "x"}, cluster="other"))
    code, _, err = await run("addons", "install", "demo", *OCI)
    assert "Addon ns/ingress is one for Cluster other; give this one another name" in err
    assert not api.writes


async def test_of_a_cluster_that_is_kept_in_git_the_addon_for_git_is_said(
    api: FakeApi, run: Run
) -> None:
    put(api, metadata=GIT)
    code, out, _ = await run("addons", "install", "demo", *OCI, "--set", "a=1")
    assert code == 1
    assert not api.writes
    first, _, rest = out.partition("\n")
    assert "is kept by Argo CD as it stands in Git: nothing was written" in first
    told = yaml.safe_load(rest)
    assert (told["kind"], told["metadata"]) == ("Addon", {"name": "ingress", "namespace": "ns"})
    assert told["spec"]["values"] == {"a": 1}
