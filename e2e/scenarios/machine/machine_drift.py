"""What somebody changes on a host is put right within seconds, or only told, by policy."""

from __future__ import annotations

import time
from dataclasses import dataclass

from e2e.faults.host_services import well
from e2e.fixtures import userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has
from e2e.framework.report import Report
from e2e.polling import eventually
from e2e.stories import recovery, shared_hosts
from e2e.stories.shared_hosts import LONG, NAMESPACE, SHOP, STAYS, WORKERS, root
from kok.api.meta import Manifest

AT_ONCE = 15.0 * recovery.BUSY
"""Seconds within which a changed file is put right: a watch tells of it, nobody looks for it."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that somebody changes on a host."""

    name: str
    script: str
    right: str
    """Succeeds once it is put right."""
    word: str
    """What is told of it has this in it."""
    looked_for: bool = False
    """Whether nothing tells of it, so that it is found by the next look."""


CONFIG, SYSCTL = "/etc/containerd/config.toml", "/etc/sysctl.d/99-kok.conf"
CHANGES = (
    Change(
        "a file's content",
        f"echo '# mine' >>{CONFIG}",
        f"! grep -q mine {CONFIG}",
        f"file {CONFIG} has another content",
    ),
    Change(
        "a file's mode",
        f"chmod 0600 {CONFIG}",
        f'[ "$(stat -c %a {CONFIG})" = 644 ]',
        f"file {CONFIG} has mode 0600 in place of 0644",
    ),
    Change("a file that goes", f"rm {SYSCTL}", f"[ -e {SYSCTL} ]", f"file {SYSCTL} is missing"),
    Change(
        "a sysctl",
        "echo 0 >/proc/sys/net/ipv4/ip_forward",
        '[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]',
        "sysctl net.ipv4.ip_forward is 0 in place of 1",
        looked_for=True,
    ),
    Change(
        "a service that no longer starts with the host",
        "systemctl disable --quiet containerd",
        "systemctl is-enabled --quiet containerd",
        "service containerd does not start with the host",
        looked_for=True,
    ),
    Change(
        "another version of a program",
        "mv /usr/local/sbin/runc /root/runc; ln -s /bin/true /usr/local/sbin/runc",
        "/usr/local/sbin/runc --version | grep -q runc",
        "runc: version nothing is there in place of",
        looked_for=True,
    ),
)


async def run(report: Report) -> None:
    """The scenario."""
    async with environment(report, meta=1, workers=2) as w, shared_hosts.bare(w, STAYS):
        await bring(w)
        for change in CHANGES:
            await put_right(w, change)
        await only_told(w)


async def bring(w: Environment) -> None:
    """A Cluster with a node."""
    with w.report.step("a node"):
        await w.apply(
            userfiles.ssh_secret(w.lab, STAYS, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            host_pool.host(w, NAMESPACE, STAYS),
            shared_hosts.cluster(),
            host_pool.kubenode(w, NAMESPACE, WORKERS, SHOP, 1),
        )
        await host_pool.serving(w, NAMESPACE, WORKERS, 1)


async def put_right(w: Environment, change: Change) -> None:
    """It is put right, and what it was is told, with the time."""
    with w.report.step(f"{change.name} is put right"):
        await root(w, STAYS, change.script)
        if change.looked_for:
            await look(w)
        begun = time.monotonic()
        await eventually(lambda: _is(w, change.right), LONG, every=0.2)
        took = time.monotonic() - begun
        await shared_hosts.of_machine(w, STAYS, _repaired(change.word))
        await shared_hosts.of_machine(w, STAYS, well)
        if not change.looked_for and took > AT_ONCE:
            raise AssertionError(f"{change.name}: put right after {took:.1f} s")
        w.report.figures[f"{change.name.replace(' ', '_')}_s"] = round(took, 1)


async def only_told(w: Environment) -> None:
    """With mode Report it is told and left; with Off it is not even told; then it is put right."""
    change = CHANGES[0]
    with w.report.step("with mode Report drift is told, and left"):
        await recovery.remediation(w, mode="Report")
        await root(w, STAYS, change.script)
        found = await shared_hosts.of_machine(w, STAYS, has("Drifted", "True", "DriftFound"))
        if change.word not in condition(found, "Drifted")["message"]:
            raise AssertionError(f"it is told: {condition(found, 'Drifted')}")
        if not has("Ready")(found) or await _is(w, change.right):
            raise AssertionError("it was not left, or the node does not serve for it")
    with w.report.step("with mode Repair again it is put right"):
        await recovery.remediation(w, mode="Repair")
        await eventually(lambda: _is(w, change.right), LONG, every=0.2)
        await shared_hosts.of_machine(w, STAYS, well)


async def look(w: Environment) -> None:
    """Has the host looked at: what nothing tells of is found at the next look, which is minutes away.

    A connection that ends is a reason to look.
    """
    # Anchored, since the shell that runs this has the pattern in its own command line.
    await root(w, STAYS, "pkill -f '^sshd[^ ]*: .*@notty' || true")


async def _is(w: Environment, script: str) -> bool:
    told = await root(w, STAYS, f"if {script}; then echo yes; fi")
    return bool(told.strip())


def _repaired(word: str) -> Predicate:
    def check(found: Manifest) -> bool:
        listed = (found.get("status") or {}).get("drift") or []
        told = [d for d in listed if word in f"{d['component']}: {d['what']}" and d.get("repaired")]
        return bool(told) and not has("Drifted")(found)

    return check
