"""What a survey tells, from the real script in a real shell."""

from __future__ import annotations

import base64
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kok.operators.machine.remote import survey
from kok.operators.machine.remote.shell import MOST, decoded
from kok.operators.machine.remote.survey import ADDRESSES, FACT, Owner, Question, parse


def run(script: str, home: Path, **environment: str) -> str:
    done = subprocess.run(
        ["sh", "-s"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        env={"KOK_HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
    )
    return done.stdout


def test_one_script_tells_everything_about_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "some file"
    file.write_text("content")
    file.chmod(0o640)
    asked = [
        Question("tool", "echo ' 1.2.3 '; echo more", (str(file), str(tmp_path / "absent"))),
        Question("quiet", "exit 3", ()),
    ]
    text = survey.script(asked, ["file:///", "http://127.0.0.1:1/"], "127.0.0.1")
    now = datetime.now(UTC)
    seen = parse(run(text, tmp_path / "kok"), now)
    assert seen.found["tool"].version == "1.2.3"
    assert seen.found["quiet"].version == ""
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert dict(seen.found["tool"].files) == {str(file): ("0640", digest)}
    assert list(seen.unreachable) == ["http://127.0.0.1:1/"]
    assert abs(seen.skew) < 5
    assert seen.arch in ("amd64", "arm64")
    assert seen.memory_mi > 100
    assert seen.disk_mi > 100
    assert {"base64", "sha256sum", "flock"} <= seen.tools
    assert seen.owner == Owner()
    shown = survey.host_facts(seen)
    assert shown.kernel
    assert shown.boot_id
    assert shown.cpus


def test_name_servers_are_those_behind_the_stub_of_systemd_resolved(tmp_path: Path) -> None:
    plain, upstream = tmp_path / "resolv.conf", tmp_path / "upstream.conf"
    places = {"KOK_RESOLV_CONF": str(plain), "KOK_UPSTREAM_CONF": str(upstream)}

    def told() -> tuple[str, tuple[str, ...]]:
        seen = parse(run(survey.script([], []), tmp_path, **places), datetime.now(UTC))
        return seen.facts["resolver"], seen.nameservers

    assert told() == (str(plain), ())
    plain.write_text("# nameserver 192.0.2.1\nsearch x\n nameserver 192.0.2.53 # ours\n")
    assert told() == (str(plain), ("192.0.2.53",))
    plain.write_text("nameserver 127.0.0.53\noptions edns0\n")
    assert told() == (str(plain), ("127.0.0.53",))
    upstream.write_text("nameserver 192.0.2.54\nnameserver fe80::1%eth0\n")
    assert told() == (str(upstream), ("192.0.2.54", "fe80::1%eth0"))
    # Another local one has no file of its own to go by.
    plain.write_text("nameserver 127.0.0.1\n")
    assert told() == (str(plain), ("127.0.0.1",))


def test_a_survey_changes_nothing(tmp_path: Path) -> None:
    run(survey.script([Question("a", "true", ("/etc/passwd",))], []), tmp_path / "kok")
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_the_operator_is_told(tmp_path: Path) -> None:
    home = tmp_path / "kok"
    for name, record in (("done", "1.0 abc\n"), ("begun", None)):
        (home / "components" / name).mkdir(parents=True)
        if record:
            (home / "components" / name / "record").write_text(record)
    owner = Owner("uid-1", "team-a/m", "team-a/shop", "meta")
    (home / "owner").write_text(owner.text())
    seen = parse(run(survey.script([], []), home), datetime.now(UTC))
    assert seen.owner == owner
    assert (seen.found["done"].recorded, seen.found["done"].begun) == ("abc", True)
    assert (seen.found["begun"].recorded, seen.found["begun"].begun) == ("", True)


def test_the_address_towards_the_cluster_comes_first() -> None:
    lines = ["fact address 10.0.0.5", "fact address 192.0.2.21", "fact route 192.0.2.21"]
    seen = parse("\n".join(lines), datetime.now(UTC))
    assert seen.addresses == ("192.0.2.21", "10.0.0.5")


def test_a_skewed_clock_is_measured() -> None:
    now = datetime(2026, 11, 2, 12, 0, 30, tzinfo=UTC)
    behind = int(datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC).timestamp())
    assert parse(f"fact time {behind}", now).skew == -29.5


def test_odd_lines_do_no_harm() -> None:
    noise = "Last login: today\n\nfact\nowner !!!\nfact cpus many\nfact memoryKi 12x\nfact time now"
    seen = parse(noise, datetime.now(UTC))
    assert seen.memory_mi == 0
    assert seen.owner == Owner()
    assert survey.host_facts(seen).cpus is None


def test_the_kubelets_identity_is_told_without_its_key() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    lines = [
        f"identity certificate {base64.b64encode(pem.encode()).decode()}",
        "identity server https://192.0.2.10:6443",
        "identity kubelet active",
    ]
    found = survey.parse_identity("\n".join(lines))
    assert found.certificate == pem
    assert found.server == "https://192.0.2.10:6443"
    assert not found.bootstrap


def test_a_private_key_never_leaves_the_host(tmp_path: Path) -> None:
    (tmp_path / "kubelet-client-current.pem").write_text(
        "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n"
        "-----BEGIN EC PRIVATE KEY-----\nprivate\n-----END EC PRIVATE KEY-----\n"
    )
    text = survey.script([], []).replace("/var/lib/kubelet/pki", str(tmp_path))
    found = parse(run(text, tmp_path / "kok"), datetime.now(UTC)).identity
    assert "public" in found.certificate
    assert "PRIVATE" not in found.certificate


def test_what_a_host_tells_is_cut() -> None:
    owner = base64.b64encode(b"uid=u\nmachine=" + b"m" * 10_000).decode()
    lines = [
        f"fact kernel {'k' * 10_000}",
        f"fact memoryKi {'9' * 5000}",
        f"fact time {'9' * 18}",
        *(f"fact address 10.0.{n >> 8}.{n & 255}" for n in range(1000)),
        f"owner {owner}",
    ]
    found = parse("\n".join(lines), datetime(2026, 11, 26, 12, tzinfo=UTC))
    assert len(found.facts["kernel"]) == FACT
    assert found.memory_mi == 0
    assert found.skew == 0.0
    assert len(found.addresses) == ADDRESSES
    assert len(found.owner.machine) == FACT
    assert decoded(base64.b64encode(b"x" * 10**6).decode()) == "x" * MOST


def services(folder: Path, states: dict[str, str], journal: str = "") -> str:
    """A PATH whose systemd says this of services, and whose journal holds that of each."""
    folder.mkdir()
    shows = "".join(f"{unit}) printf '{text}' ;;" for unit, text in states.items())
    lines = "".join(f"Nov 28 22:10:11 w1 x[7]: {line}\n" for line in journal.splitlines())
    (folder / "journal").write_text(lines)
    programs = {
        "systemctl": f'for last; do :; done; [ "$1" != show ] || case $last in {shows} esac\n',
        "journalctl": f'case "$*" in *_SYSTEMD_UNIT=*.service) cat {folder}/journal ;; esac\n',
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


# Later than now, so that it is recent however long the tests take.
JUST_NOW = f"ActiveEnterTimestampMonotonic={10**15}"
FINE = "SubState=running\\nNRestarts=0\\nActiveEnterTimestampMonotonic=1000000\\n"
AGAIN = "SubState=auto-restart\\nNRestarts=3\\n"
KLOG = """\
I1128 22:10:11.000001     123 server.go:520] "Kubelet version" kubeletVersion="v1.37.1"
E1128 22:10:11.123456     123 run.go:72] "command failed" err="maxPods: cannot read thirty"
I1128 22:10:11.200000     123 server.go:1] "bye"
"""


@pytest.mark.parametrize(
    ("states", "failing"),
    [
        ({"containerd": FINE, "kubelet": FINE}, ""),
        ({"containerd": FINE, "kubelet": AGAIN}, "kubelet"),
        ({"containerd": AGAIN, "kubelet": AGAIN}, "containerd"),
        ({"kubelet": "SubState=failed\\n"}, "kubelet"),
        ({"kubelet": "SubState=auto-restart-queued\\n"}, "kubelet"),
        ({"kubelet": f"SubState=running\\nNRestarts=4\\n{JUST_NOW}\\n"}, "kubelet"),
        ({"kubelet": f"SubState=running\\nNRestarts=1\\n{JUST_NOW}\\n"}, ""),
        ({"kubelet": "SubState=dead\\nNRestarts=0\\n"}, ""),
        ({}, ""),
    ],
)
def test_a_service_that_does_not_stay_up_is_named_and_quoted(
    tmp_path: Path, states: dict[str, str], failing: str
) -> None:
    path = services(tmp_path / "bin", states, KLOG)
    seen = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC))
    assert seen.identity.failing == failing
    quoted = '"command failed" err="maxPods: cannot read thirty"'
    assert seen.identity.words == (quoted if failing else "")


def test_what_ended_is_quoted_and_not_what_was_just_started(tmp_path: Path) -> None:
    """A kubelet begins with a hundred lines on its configuration, of which the last is `>`."""
    path = services(tmp_path / "bin", {"kubelet": f"{AGAIN}MainPID=8\\n"}, KLOG)
    with (tmp_path / "bin/journal").open("a") as journal:
        journal.writelines(f"Nov 28 22:10:12 w1 x[8]: {n}\n" for n in range(100))
        journal.write("Nov 28 22:10:12 w1 x[8]:  >\n")
    seen = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC))
    assert seen.identity.words == '"command failed" err="maxPods: cannot read thirty"'


def test_when_the_kubelet_was_started_is_told_by_the_clock_of_the_host(tmp_path: Path) -> None:
    before = time.time()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        after = time.time()
        path = services(tmp_path / "bin", {"kubelet": f"{FINE}MainPID={process.pid}\\n"}, "")
        seen = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC))
    assert seen.identity.started is not None
    # The kernel counts hundredths; rather too late than too early.
    assert before - 0.02 <= seen.identity.started <= after + 0.1
    for number, gone in enumerate(("MainPID=0", "", f"MainPID={10**9}", "MainPID=x")):
        path = services(tmp_path / str(number), {"kubelet": f"{FINE}{gone}\\n"}, "")
        found = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC))
        assert found.identity.started is None
    assert parse("identity started soon", datetime.now(UTC)).identity.started is None


def test_what_a_journal_says_is_cut_and_holds_no_secret(tmp_path: Path) -> None:
    journal = "x" * 10_000 + "\nError: token=abcdef.0123456789abcdef " + "y" * 5000 + "\n"
    path = services(tmp_path / "bin", {"kubelet": AGAIN}, journal)
    words = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC)).identity.words
    assert words.startswith("Error: token=***")
    assert len(words) <= 400
    lying = "identity failing /etc/passwd " + base64.b64encode(b"a\nb").decode()
    assert parse(lying, datetime.now(UTC)).identity.failing == ""


def test_what_the_kernel_has_otherwise_than_files_say_is_told(tmp_path: Path) -> None:
    top = tmp_path / "etc" / "sysctl.d"
    top.mkdir(parents=True)
    file = top / "99-tool.conf"
    file.write_text(
        "# Ours.\nnet.ipv4.ip_forward = 1\n-vm.overcommit_memory=1 ; more\n"
        "kernel.sem = 250 32000  100 128\nno.such.setting = 1\n"
    )
    settings = tmp_path / "sys"
    for name, value in (
        ("net/ipv4/ip_forward", "0"),
        ("vm/overcommit_memory", "1"),
        ("kernel/sem", "250\t32000\t100\t128"),
    ):
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(f"{value}\n")
    home = tmp_path / "kok"
    (home / "components" / "tool").mkdir(parents=True)
    asked = [Question("tool", "echo 1", (str(file),))]
    told = run(survey.script(asked, []), home, KOK_SYSCTLS=str(settings))
    found = parse(told, datetime.now(UTC)).found["tool"]
    assert found.wrong == ("sysctl net.ipv4.ip_forward is 0 in place of 1",)
    (settings / "net/ipv4/ip_forward").write_text("1\n")
    told = run(survey.script(asked, []), home, KOK_SYSCTLS=str(settings))
    assert parse(told, datetime.now(UTC)).found["tool"].wrong == ()


def test_what_is_wrong_is_told_of_what_is_installed_and_no_more_of_it_than_is_read() -> None:
    lines = [f"wrong tool sysctl {n} is 0 in place of 1" for n in range(100)]
    assert parse("\n".join(lines), datetime.now(UTC)).found.get("tool") is None
    lines.append("record tool 1.0 abc")
    assert len(parse("\n".join(lines), datetime.now(UTC)).found["tool"].wrong) == 8


def test_a_service_that_a_component_named_is_known_as_well(tmp_path: Path) -> None:
    path = services(tmp_path / "bin", {"docker": AGAIN, "kubelet": AGAIN}, KLOG)
    for name, listed in {"docker": "docker\ndocker-containerd\n", "kubelet": "kubelet\n"}.items():
        noted = tmp_path / "components" / name / "services"
        noted.parent.mkdir(parents=True)
        noted.write_text(listed)
    seen = parse(run(survey.script([], []), tmp_path, PATH=path), datetime.now(UTC))
    assert seen.identity.failing == "docker"
