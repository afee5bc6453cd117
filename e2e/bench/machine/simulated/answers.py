"""What a simulated host answers to the operator's scripts. Pure but for the time.

No shell runs: a script is told by what it ends with, and what it would find out is known.
"""

from __future__ import annotations

import base64
import re
import shlex
import time
from dataclasses import dataclass, field

from kok.operators.machine.systems import table

_MARKER = re.compile(r"^echo '(@@kok-[0-9a-f]+)'$", re.MULTILINE)
_OWNER = re.compile(r"^KOK_OWNER=('(?:[^']|'\"'\"')*')$", re.MULTILINE)
_JOB = re.compile(r"^job (\S+) (\S+) \S+ <<'KOK_END'\n(.*?)^KOK_END$", re.MULTILINE | re.DOTALL)
_END = re.compile(r"^end_component (\S+) (\S+)$", re.MULTILINE)
_REACH = re.compile(r"^reach (\S+) &$", re.MULTILINE)
_FACTS = """\
fact os Debian GNU/Linux 13 (trixie)
fact kernel 6.12.0
fact machine x86_64
fact system Linux
fact cpus 8
fact memoryKi 16777216
fact cgroup v2
fact capabilities 000001ffffffffff
fact swap 0
fact systemd yes
fact resolver /etc/resolv.conf
fact nameserver 192.0.2.53
fact ipv6Disabled 0
fact disk 104857600
fact module overlay
fact module br_netfilter
""" + "".join(
    f"fact tool {tool}\n"
    for tool in ("curl", "systemctl", "systemd-run", "setsid", *sorted(table.required(node=True)))
)


@dataclass(slots=True)
class SimulatedHost:
    """One host: what was installed on it, by whom, and how often it was looked at."""

    address: str
    owner: str = ""
    software: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Version and configuration, by name."""

    def answer(self, script: str) -> tuple[str, bool]:
        """What it prints, and whether that was a survey. Raises `ValueError` for what it does not
        know."""
        marker = _MARKER.search(script)
        if marker is None:
            raise ValueError(f"no script of the operator: {script[:80]!r}")
        surveyed = "\nbelongings\n" in script
        if surveyed:
            output = self._survey(script)
        elif "\nawait_all\n" in script:
            output = self._jobs(script)
        else:
            raise ValueError(f"a script that no simulated host knows: {script[-200:]!r}")
        return f"{marker[1]}\n{output}", surveyed

    def _survey(self, script: str) -> str:
        lines = [
            f"fact hostname host-{self.address.replace('.', '-')}",
            f"fact machineID {self.address.encode().hex():0>32}",
            f"fact bootID {self.address.encode().hex():0>32}",
            f"fact address {self.address}",
            f"fact route {self.address}",
            *(f"reach {url} ok" for url in _REACH.findall(script)),
        ]
        if self.owner:
            lines.append(f"owner {_encoded(self.owner)}")
        for name, (version, config) in self.software.items():
            lines += [f"record {name} {version} {config}", f"probe {name} {version}"]
        return _FACTS + "".join(f"{line}\n" for line in lines) + f"fact time {int(time.time())}\n"

    def _jobs(self, script: str) -> str:
        """All jobs are through at once."""
        owner = _OWNER.search(script)
        if owner is not None and not self.owner:
            self.owner = shlex.split(owner[1])[0]
        output = ""
        for ident, component, content in _JOB.findall(script):
            done = _END.search(base64.b64decode(content).decode())
            if done is not None:
                version, config = (shlex.split(word)[0] for word in done.groups())
                self.software[component] = version, config
            else:
                self.software.pop(component, None)
            output += f"ended {ident} 0 {_encoded('Done')} {_encoded('')}\n"
        return output


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
