"""`kok node approve` grants foreign nodes what is their own."""

from __future__ import annotations

import pytest
from tests.unit.cli.things import (
    CSRS,
    Run,
)
from tests.unit.fakeapi import FakeApi
from tests.unit.workload.csrs import csr


def approved(api: FakeApi, name: str) -> bool:
    """Whether a request is."""
    status = api.objects[f"{CSRS}/{name}"].get("status") or {}
    return [c["type"] for c in status.get("conditions") or ()] == ["Approved"]


async def test_a_foreign_nodes_certificate_is_approved(joined: FakeApi, run: Run) -> None:
    said = await run("node", "approve", "demo", "w7")
    assert said == (0, "CertificateSigningRequest csr-w7 of Node w7 is approved\n", "")
    assert approved(joined, "csr-w7")
    assert not approved(joined, "csr-w8")
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err == "kok: Node w7 of Cluster ns/demo waits for no serving certificate\n"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("192.0.2.78", "another Node's"),
        ("203.0.113.1", "an address of the meta cluster's nodes"),
    ],
)
async def test_what_is_not_the_nodes_own_is_not_approved(
    joined: FakeApi, run: Run, address: str, what: str
) -> None:
    joined.put(f"{CSRS}/csr-w7", csr("w7", hosts=["w7"], addresses=[address]))
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err == (
        "kok: CertificateSigningRequest csr-w7 of Node w7 is not approved: it names "
        f"{address}, which is {what}; no node may have it\n"
    )
    assert not approved(joined, "csr-w7")


async def test_a_machines_node_is_left_to_the_operator(
    api: FakeApi, joined: FakeApi, run: Run
) -> None:
    spec = {"cluster": "demo", "node": "w7", "address": "192.0.2.77"}
    machine = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Machine",
        "metadata": {"name": "pool-w7", "namespace": "ns"},
        "spec": {
            **spec,
            "ssh": {"user": "ops", "secret": "ops-ssh"},
            "artifacts": {"baseURL": "http://artifacts.example"},
            "components": [],
        },
    }
    api.put("/apis/kok.dev/v1alpha1/namespaces/ns/machines/pool-w7", machine)
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err.startswith("kok: Node w7 belongs to Machine ns/pool-w7; its condition ")
    assert not approved(joined, "csr-w7")
