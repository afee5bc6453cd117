"""Machines on hosts, with the operator at work: from bare to prepared and back."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import asyncssh
from tests.fifos import Gate
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import (
    COMPONENT,
    LIMIT,
    MACHINE,
    OperatorProcess,
    World,
    condition,
    running,
)
from tests.unit.operators.machine.sshd import PASSWORD, FakeHost, fake_host

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.runtime.process.main import Process


def scripts(root: Path, extra: str = "") -> dict[str, str]:
    """Scripts that note every run."""
    mark, log = root / "version", root / "runs"
    return {
        "probe": f"cat {mark} 2>/dev/null || true",
        "install": f"echo install >>{log}\n{extra}\necho {{{{ version }}}} >{mark}",
        "restart": f"echo restart >>{log}",
        "uninstall": f"rm -f {mark}; echo uninstall >>{log}",
    }


def runs(root: Path) -> list[str]:
    log = root / "runs"
    return log.read_text().split() if log.exists() else []


def prepared(manifest: Manifest) -> bool:
    """Whether all software is as the present spec says."""
    found = condition(manifest, "ComponentsReady")
    current = found.get("observedGeneration") == manifest["metadata"]["generation"]
    return bool(current and found.get("status") == "True")


async def test_a_host_is_prepared_kept_and_given_back(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    file = {"path": f"{tmp_path}/tool.conf", "content": "{{ params.text }}"}
    await world.component(
        "tool",
        scripts=scripts(tmp_path),
        files=[file],
        parameters={"properties": {"text": {"type": "string", "default": "one"}}},
    )
    await world.machine(host, "tool-1.0")
    made = await world.until(MACHINE, "w1", prepared, "prepared")
    # The key was recorded before the first login.
    assert made["status"]["hostKey"] == host.fingerprint
    assert condition(made, "Reachable")["status"] == "True"
    assert made["status"]["facts"]["hostname"] == os.uname().nodename
    assert condition(made)["reason"] == "ClusterMissing"
    assert runs(tmp_path) == ["install"]
    assert (tmp_path / "tool.conf").read_text() == "one"

    changed = [{"name": "tool", "version": "1.0", "params": {"text": "two"}}]
    await world.patch(MACHINE, "w1", spec={"components": changed})
    await world.until(MACHINE, "w1", prepared, "prepared anew")
    assert runs(tmp_path) == ["install", "restart"]
    assert (tmp_path / "tool.conf").read_text() == "two"

    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.gone(MACHINE, "w1")
    assert runs(tmp_path) == ["install", "restart", "uninstall"]
    assert not (tmp_path / "tool.conf").exists()
    assert not host.home.exists()


async def test_a_component_that_is_no_longer_listed_is_removed(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0")
    await world.until(MACHINE, "w1", prepared, "prepared")
    await world.patch(MACHINE, "w1", spec={"components": []})
    made = await world.until(MACHINE, "w1", prepared, "prepared anew")
    assert runs(tmp_path) == ["install", "uninstall"]
    assert made["status"].get("components", []) == []


async def test_the_operator_killed_in_the_middle_of_an_installation_never_does_it_twice(
    api_server: ApiServer, world: World, host: FakeHost, tmp_path: Path
) -> None:
    await world.key_of(host)
    gate = Gate(tmp_path)
    await world.component("tool", scripts=scripts(tmp_path, gate.script))
    kubeconfig = tmp_path / "kubeconfig"
    await asyncio.to_thread(kubeconfig.write_text, api_server.kubeconfig())
    process = OperatorProcess(world.kube, kubeconfig, world.namespace)
    await process.start()
    try:
        await world.machine(host, "tool-1.0")
        await gate.reached()
        await process.kill()
        await process.start()
        # The successor has found the job when it waits for it: a second wait on its lock.
        before = host.scripts
        await _scripts(host, before + 2)
        await process.kill()
        await process.start()
        await gate.open()
        made = await world.until(MACHINE, "w1", prepared, "prepared")
    finally:
        await process.kill()
    assert runs(tmp_path) == ["install"]
    assert [c["job"]["attempt"] for c in made["status"]["components"]] == [1]


async def _scripts(host: FakeHost, count: int) -> None:
    async with asyncio.timeout(LIMIT):
        await host.ran(count)


async def test_a_missing_or_wrong_secret_is_told_and_mends_by_itself(
    world: World, host: FakeHost, machine_operator: Process
) -> None:
    await world.machine(host)
    assert await world.reason(MACHINE, "w1", "SecretMissing") == (
        f'Secret {world.namespace}/ops-ssh does not exist; create it with key "ssh-privatekey" or '
        '"password"'
    )
    await world.secret("ops-ssh", token="x")
    assert "has neither key" in await world.reason(MACHINE, "w1", "SecretInvalid")
    await world.secret("ops-ssh", password="wrong")
    assert "hostKey of host 127.0.0.1 is missing" in await world.reason(
        MACHINE, "w1", "HostKeyRequired"
    )
    await world.patch(MACHINE, "w1", spec={"hostKey": host.fingerprint})
    text = await world.reason(MACHINE, "w1", "LoginRefused")
    assert f"refuses user root with the password of Secret {world.namespace}/ops-ssh" in text
    await world.secret("ops-ssh", password=PASSWORD)
    await world.until(MACHINE, "w1", prepared, "prepared")


async def test_an_unreachable_host_is_told_and_found_when_it_comes(
    world: World, machine_operator: Process, tmp_path: Path
) -> None:
    async with fake_host(tmp_path / "kok") as host:
        await world.key_of(host)
        port = host.port
        host.flowing.clear()
        await world.machine(host)
        assert "does not answer over SSH" in await world.reason(MACHINE, "w1", "HostSilent")
        host.flowing.set()
        found = await world.until(MACHINE, "w1", prepared, "prepared")
        assert found["spec"]["port"] == port


async def test_a_changed_host_key_stops_everything_until_it_is_trusted(
    world: World, host: FakeHost, machine_operator: Process
) -> None:
    await world.key_of(host)
    other = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint("sha256")
    await world.machine(host, hostKey=other)
    text = await world.reason(MACHINE, "w1", "HostKeyChanged")
    assert text == (
        f"host 127.0.0.1 port {host.port} shows key {host.fingerprint} but {other} is written in "
        "the spec; if the host was reinstalled, correct hostKey or annotate the Machine with "
        f"kok.dev/trust-host-key={host.fingerprint}"
    )
    assert host.logins == []
    annotation = {"kok.dev/trust-host-key": host.fingerprint}
    await world.patch(MACHINE, "w1", metadata={"annotations": annotation})
    made = await world.until(MACHINE, "w1", prepared, "prepared")
    assert made["status"]["hostKey"] == host.fingerprint


async def test_a_wrong_checksum_installs_nothing_and_mends_by_itself(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    served = tmp_path / "tool.bin"
    served.write_text("damaged on the way")
    digest = hashlib.sha256(b"as it should be").hexdigest()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await asyncio.to_thread(served.read_bytes)
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        artifact = {"name": "tool", "path": "tool.bin", "sha256": digest}
        await world.component("tool", scripts=scripts(tmp_path), artifacts=[artifact])
        await world.machine(host, "tool-1.0", artifacts={"baseURL": base})
        text = await world.reason(MACHINE, "w1", "ChecksumMismatch")
        assert f"{base}/tool.bin has SHA-256 " in text
        assert f"but {digest} is expected; nothing was installed" in text
        assert runs(tmp_path) == []
        served.write_text("as it should be")
        await world.until(MACHINE, "w1", prepared, "prepared")
    assert runs(tmp_path) == ["install"]


async def test_a_host_is_refused_to_a_second_machine_also_of_another_namespace(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    # The host is marked by what is installed. Of two Machines that nothing was done for, made in one
    # second, nobody can tell which was the first.
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0")
    await world.until(MACHINE, "w1", prepared, "prepared")
    await world.machine(host, name="second", node="other")
    text = await world.reason(MACHINE, "second", "HostInUse")
    assert text == (
        f"host 127.0.0.1 already serves Machine {world.namespace}/w1; delete that Machine first, "
        "or use another host"
    )
    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.until(MACHINE, "second", prepared, "prepared")


async def test_a_machine_whose_host_is_gone_for_ever_says_what_is_left_and_lets_go(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0")
    await world.until(MACHINE, "w1", prepared, "prepared")
    host.flowing.clear()
    await world.kube.delete(MACHINE, "w1", world.namespace)
    made = await world.until(
        MACHINE,
        "w1",
        lambda m: "gives up at" in (m.get("status") or {}).get("removal", ""),
        "stuck",
    )
    assert "left to do there: stop pods, uninstall tool" in made["status"]["removal"]
    assert "kok.dev/abandon-host=true" in condition(made)["message"]
    await world.patch(MACHINE, "w1", metadata={"annotations": {"kok.dev/abandon-host": "true"}})
    await world.gone(MACHINE, "w1")
    events = await world.kube.list(kinds.EVENT, world.namespace)
    assert any(e["reason"] == "HostAbandoned" for e in events)
    listed = await world.get(kinds.CONFIGMAP, "kok-abandoned-hosts")
    assert listed
    assert len(listed["data"]) == 1
    # Who gets the host next cleans up first.
    host.flowing.set()
    await world.machine(host, "tool-1.0", name="next")
    await world.until(MACHINE, "next", prepared, "prepared")
    assert runs(tmp_path) == ["install", "uninstall", "install"]
    await world.until(
        kinds.CONFIGMAP, "kok-abandoned-hosts", lambda m: not m.get("data"), "empty again"
    )


async def test_a_machine_that_never_got_anywhere_goes_at_once(
    world: World, host: FakeHost, machine_operator: Process
) -> None:
    await world.machine(host)
    await world.reason(MACHINE, "w1", "SecretMissing")
    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.gone(MACHINE, "w1")
    assert host.scripts == 0


async def test_a_missing_component_is_named_and_waited_for(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    await world.machine(host, "tool-1.0")
    text = await world.reason(MACHINE, "w1", "ComponentMissing", "ComponentsReady")
    assert text.startswith(f"Component tool-1.0 does not exist in namespace {world.namespace}")
    await world.component("tool", scripts=scripts(tmp_path))
    await world.until(MACHINE, "w1", prepared, "prepared")


async def test_a_component_with_a_mistake_says_so(world: World, machine_operator: Process) -> None:
    await world.component("broken", scripts={"probe": "{% if %}"})
    text = await world.reason(COMPONENT, "broken-1.0", "ComponentInvalid")
    assert text.startswith("spec.scripts.probe: line 1: ")
    await world.component("fine", scripts={"probe": "true"})
    await world.reason(COMPONENT, "fine-1.0", "Valid")


async def test_a_paused_machine_is_only_looked_at(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0", paused=True)
    await world.reason(MACHINE, "w1", "SpecPaused", "Paused")
    assert host.scripts == 0
    await world.patch(MACHINE, "w1", spec={"paused": False})
    await world.until(MACHINE, "w1", prepared, "prepared")


async def test_a_host_is_followed_to_another_port_and_cleaned_up_there(
    api_server: ApiServer, world: World, host: FakeHost, tmp_path: Path
) -> None:
    """Also one that a release installed that did not write down where that was."""
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    async with running(api_server, world.namespace):
        await world.machine(host, "tool-1.0")
        made = await world.until(MACHINE, "w1", _installed_on(host.port), "installed")
        assert made["status"]["installedOn"]["hostKey"] == host.fingerprint
    forgotten = {"status": {"installedOn": None}}
    await world.kube.patch(MACHINE, "w1", world.namespace, forgotten, subresource="status")
    async with fake_host(host.home, key=host.key) as same:
        same.client = host.client
        await world.patch(MACHINE, "w1", spec={"port": same.port})
        async with running(api_server, world.namespace):
            await world.until(MACHINE, "w1", _installed_on(same.port), "found at the new port")
            assert runs(tmp_path) == ["install"]
            await world.kube.delete(MACHINE, "w1", world.namespace)
            await world.gone(MACHINE, "w1")
    assert runs(tmp_path) == ["install", "uninstall"]
    assert not host.home.exists()


async def test_another_host_behind_another_port_is_neither_used_nor_cleaned_up(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    """Of boxes behind one address, as of a NAT, one went on as a node and was forgotten."""
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    await world.machine(host, "tool-1.0")
    await world.until(MACHINE, "w1", _installed_on(host.port), "installed")
    async with fake_host(tmp_path / "other") as other:
        other.client = host.client
        await world.patch(MACHINE, "w1", spec={"port": other.port, "hostKey": other.fingerprint})
        text = await world.reason(MACHINE, "w1", "AnotherHost")
        assert text.startswith(
            f"it was installed on the host at 127.0.0.1, port {host.port}, with key "
            f"{host.fingerprint}; spec names port {other.port} and key {other.fingerprint}"
        )
        await world.kube.delete(MACHINE, "w1", world.namespace)
        made = await world.until(
            MACHINE,
            "w1",
            lambda m: "write port and hostKey as they were" in m["status"].get("removal", ""),
            "stuck",
        )
        assert made["status"]["installedOn"]["port"] == host.port
        assert runs(tmp_path) == ["install"]
        assert not other.home.exists()
        # One after the other, since both at once are another host.
        await world.patch(MACHINE, "w1", spec={"port": host.port})
        await world.patch(MACHINE, "w1", spec={"hostKey": ""})
        await world.gone(MACHINE, "w1")
    assert runs(tmp_path) == ["install", "uninstall"]
    assert not host.home.exists()


def _installed_on(port: int) -> Callable[[Manifest], bool]:
    def check(manifest: Manifest) -> bool:
        place = (manifest.get("status") or {}).get("installedOn") or {}
        return prepared(manifest) and place.get("port") == port

    return check
