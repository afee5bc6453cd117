"""Connections to hosts: who is let in, who is not, and what happens when a host falls silent."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from tests import fifos
from tests.unit.operators.machine.remote.ssh.connecting import (
    LIMIT,
    PATIENT,
    QUICK,
    connected,
    target,
)
from tests.unit.operators.machine.sshd import PASSWORD, FakeHost, fake_host

from kok.operators.machine.remote.ssh import (
    Connections,
    Credentials,
    Expected,
    HostError,
    HostKeyChanged,
    HostSilent,
    HostUnreachable,
    LoginRefused,
    ScriptFailed,
    SudoRefused,
    Target,
)
from kok.operators.machine.remote.ssh import connection as connection_module
from kok.operators.machine.remote.ssh.login import connect, scan


async def test_a_scan_tells_the_fingerprint_without_logging_in(host: FakeHost) -> None:
    assert await scan("127.0.0.1", host.port, PATIENT) == host.fingerprint
    assert host.logins == []


async def test_root_scripts_run_with_key_or_password(host: FakeHost) -> None:
    for credentials in (Credentials(key=host.client), Credentials(password=PASSWORD)):
        connection = await connected(host, credentials=credentials)
        assert await connection.run("echo $((40 + 2))", deadline=LIMIT) == "42\n"
        connection.close()


async def test_a_script_does_not_show_among_the_processes(host: FakeHost) -> None:
    connection = await connected(host)
    shown = await connection.run("secret=hunter2; tr '\\0' ' ' </proc/$$/cmdline", deadline=LIMIT)
    assert shown.split() == ["/bin/sh", "-s"]
    connection.close()


async def test_users_other_than_root_go_through_sudo(host: FakeHost) -> None:
    connection = await connected(host, user="ops")
    assert await connection.run("echo root", deadline=LIMIT) == "root\n"
    host.sudo = "sudo: a password is required\n"
    with pytest.raises(SudoRefused, match=r"user ops may not become root.*NOPASSWD"):
        await connection.run("echo root" + " # long" * 100_000, deadline=LIMIT)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("sudo: a password is required", '"ops ALL=(ALL) NOPASSWD: ALL"'),
        ("ops is not in the sudoers file. sudo", '"ops ALL=(ALL) NOPASSWD: ALL"'),
        # NOPASSWD would change nothing there.
        ("sudo: sorry, you must have a tty to run sudo", '"Defaults:ops !requiretty"'),
        ("sudo: a terminal is required to read the password", "NOPASSWD"),
        ("sh: 1: sudo: not found", "install sudo"),
        ('sudo: The "no new privileges" flag is set', "log in as root"),
        ("sudo: /etc/sudoers.d/x:1:4: syntax error", "correct the file with visudo"),
        ("sudo: account validation failure, is your account expired?", "renew the account"),
    ],
)
async def test_what_to_do_about_sudo_depends_on_what_it_says(
    host: FakeHost, said: str, advice: str
) -> None:
    connection = await connected(host, user="ops")
    host.sudo = f"{said}\n"
    with pytest.raises(SudoRefused) as refused:
        await connection.run("true", deadline=LIMIT)
    assert f"({said})" in refused.value.message
    assert advice in refused.value.message


async def test_chatter_of_the_login_shell_is_not_taken_for_output(host: FakeHost) -> None:
    host.banner = "Welcome!\nfact hostname forged\n"
    connection = await connected(host)
    assert await connection.run("echo mine", deadline=LIMIT) == "mine\n"
    connection.close()


async def test_a_line_that_the_login_shell_leaves_unended_hides_nothing(host: FakeHost) -> None:
    host.banner = "$ "
    for credentials in (Credentials(key=host.client), Credentials(key=host.client, sudo="s3cret")):
        connection = await connected(host, user="ops", credentials=credentials)
        assert await connection.run("echo mine", deadline=LIMIT) == "mine\n"
        connection.close()


async def test_sudo_gets_its_password_when_it_asks_for_it(host: FakeHost) -> None:
    host.sudo_password = "s3cret $x"
    login = Credentials(key=host.client, sudo="s3cret $x")
    connection = await connected(host, user="ops", credentials=login)
    shown = await connection.run("tr '\\0' ' ' </proc/$$/cmdline", deadline=LIMIT)
    assert shown.split() == ["/bin/sh", "-s"]
    assert host.passwords == ["s3cret $x"]
    assert await connection.run("cat", deadline=LIMIT) == "", "a script reads nothing of it"
    connection.close()


async def test_a_password_that_sudo_does_not_ask_for_is_never_sent(
    host: FakeHost, tmp_path: Path
) -> None:
    """Least of all to the shell, which would run it."""
    login = Credentials(key=host.client, sudo=f"touch {tmp_path}/run")
    connection = await connected(host, user="ops", credentials=login)
    assert await connection.run("echo root", deadline=LIMIT) == "root\n"
    assert not (tmp_path / "run").exists()
    connection.close()


async def test_a_wrong_password_for_sudo_is_tried_once(host: FakeHost) -> None:
    """Some hosts lock an account after three."""
    host.sudo_password = "s3cret"
    connection = await connected(
        host, user="ops", credentials=Credentials(key=host.client, sudo="old")
    )
    with pytest.raises(SudoRefused) as refused:
        await connection.run("echo root", deadline=LIMIT)
    assert refused.value.message == (
        f"sudo on host 127.0.0.1 port {host.port} does not take the password that Secret "
        'team-a/ops-ssh holds for user ops; correct its key "sudo-password", or "password" if there '
        "is no such key"
    )
    assert host.passwords == ["old"]


@pytest.mark.parametrize("allowed", [1, 2])
async def test_a_host_that_allows_few_sessions_is_asked_one_thing_after_the_other(
    host: FakeHost, allowed: int
) -> None:
    host.sessions = allowed
    connection = await connected(host)
    asked = [connection.run(f"echo {n}", deadline=LIMIT) for n in range(8)]
    assert await asyncio.gather(*asked) == [f"{n}\n" for n in range(8)]
    connection.close()


async def test_whether_commands_run_side_by_side_is_found_out_once(host: FakeHost) -> None:
    connection = await connected(host)
    assert await connection.side_by_side() > 1
    begun = host.scripts
    assert await connection.side_by_side() > 1
    assert host.scripts == begun
    connection.close()
    host.sessions = 1
    connection = await connected(host)
    assert await connection.side_by_side() == 1
    connection.close()


async def test_a_host_whose_only_session_is_taken_is_alive(host: FakeHost) -> None:
    host.sessions = 1
    connection = await connected(host)
    with pytest.raises(ScriptFailed, match="was not through after"):
        await connection.run("sleep 30", deadline=0.2)
    assert not connection.closed
    connection.close()


async def test_a_session_that_never_comes_free_costs_the_connection(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command goes on without us, and keeps its place; another connection has places of its own."""
    monkeypatch.setattr(connection_module, "_REFUSED_MOST", 0.1)
    host.sessions = 1
    connection = await connected(host)
    asked = asyncio.create_task(connection.run("sleep 30", deadline=LIMIT))
    await host.ran(1)
    asked.cancel()
    with pytest.raises(HostSilent, match="opens no session"):
        await connection.run("true", deadline=LIMIT)
    assert connection.closed


KINDS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_keys_of_all_usual_kinds_are_taken_on_both_sides(tmp_path: Path, kind: str) -> None:
    async with fake_host(tmp_path / "kok", key=asyncssh.generate_private_key(kind)) as host:
        host.client = asyncssh.generate_private_key(kind)
        connection = await connected(host)
        assert await connection.run("echo in", deadline=LIMIT) == "in\n"
        connection.close()


async def test_nobody_is_asked_to_trust_sha_1() -> None:
    key = asyncssh.generate_private_key("ssh-rsa")
    server = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        signature_algs=["ssh-rsa"],
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        pinned = Expected(await scan("127.0.0.1", port, PATIENT), "spec")
        where = Target("127.0.0.1", port, "root", "a/b", Credentials(key=key), pinned)
        with pytest.raises(HostError):
            await connect(where, PATIENT)


async def test_wrong_credentials_are_told_apart_from_a_wrong_network(host: FakeHost) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(LoginRefused) as refused:
        await connected(host, user="ops", credentials=Credentials(key=stranger, password="no"))
    assert refused.value.message == (
        f"host 127.0.0.1 port {host.port} refuses user ops with the private key and the password "
        "of Secret team-a/ops-ssh; correct the Secret or the user, or let the host accept them"
    )
    with pytest.raises(HostUnreachable, match="cannot be reached over SSH: Connection refused"):
        await connect(replace(target(host), port=1), PATIENT)


async def test_nothing_is_sent_to_a_host_with_another_key(host: FakeHost) -> None:
    with pytest.raises(HostKeyChanged) as changed:
        await connected(host, expected=Expected("SHA256:" + "A" * 43, "status"))
    assert changed.value.found == host.fingerprint
    assert host.logins == []


async def test_a_pinned_key_may_be_of_a_kind_that_the_host_does_not_prefer(tmp_path: Path) -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    ed25519 = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        asyncssh.SSHServer, "127.0.0.1", 0, server_host_keys=[ed25519, rsa]
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        pinned = Expected(rsa.get_fingerprint("sha256"), "spec")
        credentials = Credentials(password="any")
        where = Target("127.0.0.1", port, "root", "a/b", credentials, pinned)
        with pytest.raises(LoginRefused):
            # It got as far as the login, so the key was accepted.
            await connect(where, PATIENT)


async def test_a_failing_script_tells_its_last_words_and_keeps_the_connection(
    host: FakeHost,
) -> None:
    connection = await connected(host)
    with pytest.raises(ScriptFailed, match="ended with code 7: no such luck") as failed:
        await connection.run("echo some; echo no such luck >&2; exit 7", deadline=LIMIT)
    assert (failed.value.code, failed.value.output) == (7, "some\n")
    assert await connection.run("echo again", deadline=LIMIT) == "again\n"
    connection.close()


async def test_a_script_that_arrives_in_part_does_nothing(host: FakeHost, tmp_path: Path) -> None:
    async with asyncssh.connect(
        "127.0.0.1", host.port, username="root", client_keys=[host.client], known_hosts=None
    ) as raw:
        process = await raw.create_process("/bin/sh -s")
        process.stdin.write(f"{{\ntouch {tmp_path}/done\n")
        process.stdin.write_eof()
        await process.wait()
    assert not (tmp_path / "done").exists()


async def test_much_output_on_both_streams_blocks_nothing(host: FakeHost) -> None:
    connection = await connected(host)
    script = "for _ in 1 2 3; do head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; done"
    assert len(await connection.run(script, deadline=LIMIT)) == 900_000
    connection.close()


async def test_lines_come_as_they_are_printed(host: FakeHost, tmp_path: Path) -> None:
    connection = await connected(host)
    fifo = tmp_path / "fifo"
    script = f"mkfifo {fifo}; echo first; cat {fifo}"
    lines: list[str] = []
    seen = asyncio.Event()

    def each(line: str) -> None:
        lines.append(line)
        seen.set()

    running = asyncio.create_task(connection.run(script, deadline=LIMIT, each=each))
    await seen.wait()
    assert lines == ["first"]
    await fifos.write(fifo, "second\n")
    await running
    assert lines == ["first", "second"]
    connection.close()


async def test_what_is_followed_ends_with_the_one_who_reads_it(
    host: FakeHost, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    connection = await connected(host)
    seen = asyncio.Event()
    script = f"sleep 600 & trap 'kill $!; echo over >{fifo}' EXIT; head -c 5000000 /dev/zero; echo; echo x"
    reading = asyncio.create_task(
        connection.follow(script, lambda line: line == "x" and seen.set())
    )
    async with asyncio.timeout(LIMIT):
        await seen.wait()
    reading.cancel()
    assert await fifos.read(fifo) == "over\n"
    connection.close()


async def test_a_slow_script_is_told_apart_from_a_frozen_host(host: FakeHost) -> None:
    patient = await connected(host)
    with pytest.raises(ScriptFailed, match="was not through after"):
        await patient.run("sleep 30", deadline=0.2)
    assert not patient.closed
    patient.close()
    connection = await connect(target(host), QUICK)
    host.flowing.clear()
    with pytest.raises(HostSilent, match=r"no longer answers|the connection to host .* broke"):
        await connection.run("echo hello", deadline=0.2)
    assert connection.closed


async def test_one_connection_is_used_again_until_its_target_changes(host: FakeHost) -> None:
    pool = Connections(PATIENT, asyncio.get_running_loop().time)
    first, second = await asyncio.gather(pool.get("m", target(host)), pool.get("m", target(host)))
    assert first is second
    other = await pool.get("m", target(host, credentials=Credentials(password=PASSWORD)))
    assert other is not first
    assert first.closed
    other.close()
    assert await pool.get("m", target(host)) is not other
    pool.close()


async def test_of_too_many_connections_the_longest_unused_ones_are_closed(host: FakeHost) -> None:
    clock = iter(range(100))
    pool = Connections(PATIENT, lambda: float(next(clock)), most=2)
    made = [await pool.get(f"m{n}", target(host)) for n in range(4)]
    assert [one.closed for one in made] == [True, True, False, False]
    again = await pool.get("m0", target(host))
    assert await again.run("echo back", deadline=LIMIT) == "back\n"
    pool.close()


async def test_a_connection_that_breaks_is_told_and_one_that_is_closed_is_not(
    host: FakeHost,
) -> None:
    pool = Connections(QUICK, asyncio.get_running_loop().time)
    lost = asyncio.Event()
    await pool.get("m", target(host), lambda _: lost.set())
    pool.drop("m")
    await asyncio.sleep(0.05)
    assert not lost.is_set()
    connection = await pool.get("m", target(host), lambda _: lost.set())
    host.flowing.clear()
    async with asyncio.timeout(LIMIT):
        await lost.wait()
    assert connection.closed
    pool.close()
