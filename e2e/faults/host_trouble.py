"""What befalls hosts while they are worked on, and software that tells how often its scripts ran.

All of it is done on the host, as root and not over SSH; a host that is made anew has nothing of it.
"""

from __future__ import annotations

from contextlib import suppress

from e2e.framework.environment import Environment
from e2e.lab.errors import CommandError
from e2e.polling import eventually
from kok.api import Component, names
from kok.api.meta import Manifest

STEP = "step"
_RAN, _HELD, _VERSION = "/var/tmp/step.ran", "/var/tmp/step.held", "/var/tmp/step.version"
_SSHD = "$(systemctl show -p MainPID --value ssh)"
_SMALL = "/var/lib/kok/cache"
_RUNC = "/usr/local/sbin/runc"
_HANGS = "/run/exec-hangs"
_WRAPPED = f"""\
[ -e {_RUNC}.real ] || mv {_RUNC} {_RUNC}.real
cat >{_RUNC}.new <<'END'
#!/bin/sh
# runc, in which nobody gets into a container while a file is there that the next boot takes away.
for word; do
    if [ "$word" = exec ] && [ -e {_HANGS} ]; then exec sleep 86400; fi
done
exec {_RUNC}.real "$@"
END
chmod 0755 {_RUNC}.new; mv {_RUNC}.new {_RUNC}; : >{_HANGS}
"""
_CHECK = """\
one=$(/usr/local/bin/ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" {print $1; exit}')
code=0
[ -z "$one" ] ||
    { timeout -s KILL 4 /usr/local/bin/ctr -n k8s.io tasks exec --exec-id check-$$ "$one" true; } >/dev/null 2>&1 ||
    code=$?
# A container without that program is fine, as long as there is an answer.
[ "$code" != 137 ] || { echo "nobody gets into container $one"; exit 1; }
"""
_UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"


# --- software that counts


def step(namespace: str, version: str) -> Manifest:
    """A Component whose scripts note that they ran, and go on only while the host does not hold them."""
    hold = f"while [ -e {_HELD} ]; do sleep 0.2; done"
    scripts = {
        "probe": f"[ ! -e {_VERSION} ] || cat {_VERSION}",
        "install": f"echo install >>{_RAN}; {hold}; echo {{{{ version }}}} >{_VERSION}",
        "uninstall": f"echo uninstall >>{_RAN}; {hold}; rm -f {_VERSION}",
    }
    return component(namespace, STEP, version, change="drain", scripts=scripts)


def exec_check(namespace: str, version: str) -> Manifest:
    """A Component that looks whether anybody gets into a container, as docs/machines.md has it."""
    place = "/etc/systemd/system/exec-check.service"
    scripts = {
        "probe": f"[ ! -e {place} ] || echo {{{{ version }}}}\n",
        "install": "systemctl daemon-reload\nsystemctl enable --quiet exec-check\n"
        "systemctl restart exec-check\n",
        "uninstall": "systemctl disable --quiet --now exec-check || true\n",
        "health": _CHECK,
    }
    return component(
        namespace,
        "exec-check",
        version,
        dependsOn=["containerd"],
        services=["exec-check"],
        files=[{"path": place, "content": _UNIT}],
        scripts=scripts,
    )


def component(namespace: str, name: str, version: str, **spec: object) -> Manifest:
    """A Component of a user's own."""
    kind = Component.info.kind
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": names.component(name, version), "namespace": namespace},
        "spec": {"name": name, "version": version, **spec},
    }


async def hold(w: Environment, host: str) -> None:
    """The scripts of `step` begin and do not end, until `release`."""
    await _root(w, host, f": >{_HELD}")


async def release(w: Environment, host: str) -> None:
    """They go on."""
    await _root(w, host, f"rm -f {_HELD}")


async def ran(w: Environment, host: str) -> list[str]:
    """The scripts of `step` that were begun, one after the other."""
    return (await _root(w, host, f"cat {_RAN} 2>/dev/null || true")).split()


async def begun(w: Environment, host: str, times: int, within: float) -> None:
    """Returns once so many were begun."""

    async def enough() -> bool:
        return len(await ran(w, host)) >= times

    await eventually(enough, within, every=0.2)


# --- the network


async def hang_sshd(w: Environment, host: str) -> None:
    """The kernel takes connections for sshd, which says nothing, until `thaw_sshd`."""
    await _root(w, host, f"kill -STOP {_SSHD}")


async def thaw_sshd(w: Environment, host: str) -> None:
    """It answers again."""
    await _root(w, host, f"kill -CONT {_SSHD}")


async def slow_link(w: Environment, host: str, kilobits: int) -> None:
    """What the host sends is late, and no more than so many kilobits a second.

    The kernel here has no netem, see `lab.cluster.pod_network`.
    """
    tbf = f"tbf rate {kilobits}kbit burst 8kb latency 800ms"
    await _root(w, host, f"tc qdisc replace dev eth0 root {tbf}")


async def usual_link(w: Environment, host: str) -> None:
    """As it was."""
    with suppress(CommandError):
        await _root(w, host, "tc qdisc del dev eth0 root")


# --- the disk, the runtime


async def little_room(w: Environment, host: str) -> None:
    """No room for artifacts on a bare host, until `much_room`."""
    await _root(w, host, f"mkdir -p {_SMALL} && mount -t tmpfs -o size=4m small {_SMALL}")


async def much_room(w: Environment, host: str) -> None:
    """There is room again."""
    await _root(w, host, f"mount -o remount,size=2g {_SMALL}")


async def usual_room(w: Environment, host: str) -> None:
    """What is fetched lies on the host's own disk again."""
    await _root(w, host, f"umount -l {_SMALL}")


async def hang_in_exec(w: Environment, host: str) -> None:
    """Nobody gets into a container any more; all else works. The next boot ends that."""
    await _root(w, host, _WRAPPED)


async def _root(w: Environment, host: str, script: str) -> str:
    return await w.lab.exec(host, "sh", "-euc", script)
