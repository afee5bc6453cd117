"""What can befall the network of one pod, done inside its network namespace.

The kubelet's probes go on, as they do when it is the network between nodes that fails: what comes
from the pod's own node is let through. A rule goes with the pod that it was made for.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from e2e.lab.errors import CommandError, LabError
from e2e.lab.machine.podman import execute

# The kernel here has no netem, which would add a delay to each packet; a narrow link with a long
# queue delays them by what stands before them.
_QUEUE = "latency 800ms"

_IN_POD = """\
set -eu
process=$(grep -ls "pod$POD" /proc/[0-9]*/cgroup | head -n 1 | cut -d / -f 3)
test -n "$process" || { echo "pod $POD has no process on this host" >&2; exit 3; }
inside() { nsenter --net="/proc/$process/ns/net" -- "$@"; }
"""
_CUT = """\
node=$(inside ip -4 route show default | cut -d ' ' -f 3)
inside nft -f - <<END
table inet lab_cut
delete table inet lab_cut
table inet lab_cut {
  chain in { type filter hook prerouting priority -500; policy accept;
    iifname "eth0" ip saddr != $node drop; }
  chain out { type filter hook postrouting priority 500; policy accept;
    oifname "eth0" ip daddr != $node drop; }
}
END
"""
_PART = """\
inside nft -f - <<END
table inet lab_part
delete table inet lab_part
table inet lab_part {
  chain out { type filter hook output priority 0; policy accept; ip daddr $ADDRESS drop; }
}
END
"""
_SLOW = "inside tc qdisc replace dev eth0 root tbf rate {rate}kbit burst 8kb {queue}\n"
_HEAL = """\
inside nft delete table inet lab_cut 2>/dev/null || true
inside nft delete table inet lab_part 2>/dev/null || true
inside tc qdisc del dev eth0 root 2>/dev/null || true
"""
_KILL = """\
for process in $(grep -ls "pod$POD" /proc/[0-9]*/cgroup | cut -d / -f 3); do
  if [ "$(cat "/proc/$process/comm")" = "$COMMAND" ]; then kill -9 "$process"; fi
done
"""


async def cut(container: str, uid: str) -> None:
    """Drop all that a pod of this host sends and receives, but for its own node."""
    await _run(container, uid, _IN_POD + _CUT)


async def part(container: str, uid: str, address: str) -> None:
    """Drop what a pod of this host sends to an IPv4 address or range, and to no other as before."""
    await _run(container, uid, f"ADDRESS='{IPv4Network(address)}'\n{_IN_POD}{_PART}")


async def slow(container: str, uid: str, kilobits: int) -> None:
    """Let a pod send no more than so many kilobits a second, late."""
    await _run(container, uid, _IN_POD + _SLOW.format(rate=kilobits, queue=_QUEUE))


async def heal(container: str, uid: str) -> None:
    """Undo `cut`, `part` and `slow`; a pod that is gone needs no healing."""
    try:
        await _run(container, uid, _IN_POD + _HEAL)
    except CommandError as error:
        if error.code != 3:
            raise


async def kill(container: str, uid: str, command: str) -> None:
    """SIGKILL for a program in a pod of this host, by the name that the kernel has of it."""
    await _run(container, uid, f"COMMAND='{command}'\n{_KILL}")


async def _run(container: str, uid: str, script: str) -> None:
    if not uid or not uid.replace("-", "").isalnum():
        raise LabError(f"{uid!r} is no UID of a pod")
    await execute(container, "sh", "-s", stdin=f"POD='{uid}'\n{script}", timeout=30)
