"""`kok machine`: hosts looked at, read and logged in to by whoever runs the command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from tests.unit.cli.things import PATH, Run, cluster
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine.sshd import PASSWORD, FakeHost, fake_host

from kok.pki import encode

MACHINE = "/apis/kok.dev/v1alpha1/namespaces/ns/machines/w1"
SECRET = "/api/v1/namespaces/ns/secrets/ops-ssh"
NOWHERE = "http://127.0.0.1:1"
"""Where nobody listens."""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    async with fake_host(tmp_path / "kok") as one:
        yield one


def credentials(host: FakeHost, **more: str) -> dict[str, Any]:
    """A Secret as a user writes it."""
    text = host.client.export_private_key().decode()
    meta = {"name": "ops-ssh"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta,
        "stringData": {"ssh-privatekey": text, **more},
    }


def kubenode(host: FakeHost, **spec: Any) -> dict[str, Any]:
    """A KubeNode of one host."""
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "KubeNode",
        "metadata": {"name": "workers"},
        "spec": {
            "cluster": "demo",
            "ssh": {"user": "root", "secret": "ops-ssh"},
            "hosts": [{"name": "w1", "address": "127.0.0.1", "port": host.port}],
            "registry": {"mirrors": {"*": [NOWHERE]}},
            "artifacts": {"baseURL": NOWHERE},
            **spec,
        },
    }


def written(path: Path, *documents: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def findings(output: str) -> dict[str, str]:
    """The level of each check that is told of."""
    rows = [line.split() for line in output.splitlines()[1:-1]]
    # HOST, ADDRESS ("127.0.0.1 port N"), LEVEL, CHECK
    return {row[5]: row[4] for row in rows if row[1:3] == ["127.0.0.1", "port"]}


async def test_hosts_of_a_file_are_looked_at_before_there_is_any_cluster(
    host: FakeHost, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    file = written(tmp_path / "nodes.yaml", kubenode(host), credentials(host))
    code, output, _ = await run("machine", "check", "-f", file, "-n", "ns")
    found = findings(output)
    assert (found["HostKey"], found["Artifacts"], found["Cluster"]) == (
        "Warning",
        "Error",
        "Warning",
    )
    assert f"the host shows {host.fingerprint}: compare it" in output
    assert f"{NOWHERE}/ (the software of nodes) cannot be reached from the host" in output
    assert output.splitlines()[-1] == "1 of 1 host cannot become nodes: w1"
    assert code == 1
    assert not host.home.exists(), "nothing was changed there"


async def test_an_address_that_is_none_is_a_finding(
    host: FakeHost, tmp_path: Path, run: Run, api: FakeApi
) -> None:
    made = kubenode(host, artifacts={"baseURL": "http://[mirror"})
    file = written(tmp_path / "nodes.yaml", made, credentials(host))
    code, output, _ = await run("machine", "check", "-f", file, "-n", "ns")
    assert "http://[mirror/ (the software of nodes) cannot be reached from the host" in output
    assert code == 1


async def test_the_api_of_a_cluster_must_be_reached_from_the_host(
    host: FakeHost, tmp_path: Path, run: Run, api: FakeApi
) -> None:
    endpoint = "https://127.0.0.1:1"
    api.put(PATH.format("ns"), {**cluster(endpoint=endpoint), "spec": {"version": "1.37.1"}})
    data = {"ssh-privatekey": host.client.export_private_key()}
    api.put(SECRET, {"metadata": {"name": "ops-ssh", "namespace": "ns"}, "data": encode(data)})
    file = written(tmp_path / "nodes.yaml", kubenode(host, artifacts={"baseURL": api.address}))
    _, output, errors = await run("machine", "check", "-f", file, "-n", "ns")
    assert findings(output)["Endpoint"] == "Error", errors
    assert f"{endpoint}/livez (the API of Cluster demo) cannot be reached from the host" in output
    assert "Artifacts" not in findings(output)


async def test_a_host_that_lets_nobody_in_is_a_finding_and_hides_no_other(
    host: FakeHost, tmp_path: Path, run: Run, api: FakeApi
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    named = [
        {"name": "w1", "address": "127.0.0.1", "port": host.port, "hostKey": host.fingerprint},
        {"name": "w2", "address": "127.0.0.1", "port": 1, "hostKey": host.fingerprint},
    ]
    secret = credentials(host)
    secret["stringData"] = {"ssh-privatekey": other}
    file = written(tmp_path / "nodes.yaml", kubenode(host, hosts=named), secret)
    code, output, _ = await run("machine", "check", "-f", file, "-n", "ns")
    assert "LoginRefused" in output
    assert "HostUnreachable" in output
    assert output.splitlines()[-1] == "2 of 2 hosts cannot become nodes: w1, w2"
    assert code == 1


async def test_a_password_goes_to_no_host_that_nobody_knows(
    host: FakeHost, tmp_path: Path, run: Run, api: FakeApi
) -> None:
    file = written(tmp_path / "n.yaml", kubenode(host), credentials(host, password=PASSWORD))
    code, output, _ = await run("machine", "check", "-f", file, "-n", "ns")
    assert findings(output) == {"HostKey": "Error"}
    assert host.logins == []
    assert code == 1


async def test_a_host_may_be_described_by_options(
    host: FakeHost, tmp_path: Path, run: Run, api: FakeApi
) -> None:
    key = tmp_path / "id"
    key.write_bytes(host.client.export_private_key())
    where = ("--address", "127.0.0.1", "--port", str(host.port))
    code, output, errors = await run("machine", "check", *where, "-i", str(key), "-n", "ns")
    assert findings(output)["HostKey"] == "Warning", errors
    code, _, errors = await run("machine", "check", *where, "-i", "/dev/zero")
    assert (code, "/dev/zero is larger than 4 MiB" in errors) == (1, True)
    code, _, errors = await run("machine", "check", *where)
    assert (code, errors.startswith("kok: say how to log in")) == (1, True)
    code, _, errors = await run("machine", "check")
    assert (code, errors.startswith("kok: say which hosts")) == (1, True)


def machine(host: FakeHost, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Machine",
        "metadata": {"name": "w1", "namespace": "ns"},
        "spec": {
            "cluster": "demo",
            "node": "w1",
            "address": "127.0.0.1",
            "port": host.port,
            "ssh": {"secret": "ops-ssh"},
            **spec,
        },
        "status": {"hostKey": host.fingerprint},
    }


@pytest.fixture
def installed(host: FakeHost, api: FakeApi) -> FakeHost:
    """A host of a Machine, on which two jobs were done."""
    api.put(MACHINE, machine(host))
    data = {"ssh-privatekey": host.client.export_private_key()}
    api.put(SECRET, {"metadata": {"name": "ops-ssh", "namespace": "ns"}, "data": encode(data)})
    for component in ("tool", "other"):
        job = host.home / "jobs" / f"job-of-{component}"
        job.mkdir(parents=True)
        (job / "component").write_text(f"{component}\n")
        (job / "exit").write_text("7\n")
        (job / "log").write_text(f"{component} went wrong\x1b[2J\n")
    return host


async def test_what_a_component_wrote_on_the_host_is_read_there(
    installed: FakeHost, run: Run
) -> None:
    code, output, errors = await run("machine", "logs", "w1", "-n", "ns", "--component", "tool")
    assert code == 0, errors
    assert "==> job job-of-tool of tool (exit code 7) <==\ntool went wrong?[2J\n" in output
    assert "other went wrong" not in output
    code, _, errors = await run("machine", "logs", "w1", "-n", "ns", "--component", "../tool")
    assert (code, "write the name of a Component" in errors) == (1, True)


async def test_of_a_log_as_much_is_read_as_was_asked_for(installed: FakeHost, run: Run) -> None:
    log = installed.home / "jobs/job-of-tool/log"
    log.write_text("".join(f"{number} {'x' * 200}\n" for number in range(10_000)))
    asked = ("--component", "tool", "--tail", "10000")
    code, output, errors = await run("machine", "logs", "w1", "-n", "ns", *asked)
    assert code == 0, errors
    assert f"\n9999 {'x' * 200}\n" in output
    assert f"\n0 {'x' * 200}\n" in output


async def test_nobody_logs_in_to_a_host_with_another_key(
    installed: FakeHost, run: Run, api: FakeApi
) -> None:
    api.put(MACHINE, {**machine(installed), "status": {"hostKey": "SHA256:" + "A" * 43}})
    code, output, errors = await run("machine", "logs", "w1", "-n", "ns")
    assert (code, output, installed.logins) == (1, "", [])
    assert f"shows key {installed.fingerprint} but" in errors
    api.put(MACHINE, {**machine(installed), "status": {}})
    code, _, errors = await run("machine", "logs", "w1", "-n", "ns")
    assert (code, "is not known yet" in errors, installed.logins) == (1, True, [])


async def test_a_shell_needs_a_terminal_and_a_machine(installed: FakeHost, run: Run) -> None:
    code, _, errors = await run("machine", "shell", "w1", "-n", "ns")
    assert (code, "needs a terminal on both sides" in errors) == (1, True)
    code, _, errors = await run("machine", "logs", "w9", "-n", "ns")
    assert (code, "there is no Machine w9 in namespace ns" in errors) == (1, True)
