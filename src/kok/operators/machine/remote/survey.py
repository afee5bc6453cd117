"""Looking at a host: one script that tells everything, and what it told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kok.api.machine.machine import HostFacts
from kok.operators.machine import gpus
from kok.operators.machine.gpus import Gpus
from kok.operators.machine.remote import host_paths as layout
from kok.operators.machine.remote import shell
from kok.operators.machine.systems import table
from kok.runtime.pods.messages import last_error_line
from kok.runtime.redact import redact_text

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
FACT, WORD, ADDRESSES = 512, 128, 64
"""Characters of what a host tells of itself, of one word of it (a version, a hash, an address), and
how many addresses of it count: it may lie."""
COMPONENTS, FILES, UNREACHABLE, URL, WRONG = 128, 4096, 64, 2048, 8
"""Of a host no more components, files of them and URLs count, nor longer URLs. A Machine has 64
components at most, and may be changing them for 64 others."""
_FACTS = frozenset(
    {
        *("bootID", "capabilities", "cgroup", "cpus", "disk", "hostname", "ipv6Disabled", "kernel"),
        *(
            "machine",
            "machineID",
            "memoryKi",
            "os",
            "osFamily",
            "resolver",
            "route",
            "swap",
            "system",
            "systemd",
            "systemUUID",
        ),
        "time",
    }
)
_MANY = {"address": 1024, "module": 16, "nameserver": 16, "tool": 32, "unit": 16}
"""Facts that a host has several of, and how many are kept. Its first address may come last."""
_IDENTITY = frozenset({"bootstrap", "ca", "certificate", "failing", "kubelet", "server", "started"})
_STATUS_TEXT, _STATUS_ADDRESSES = 253, 64
"""Of a text, and of addresses: a host tells what it likes, and the status goes to the API."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UNIT = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.@]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"0[0-7]{1,4}")
_CAP_SYS_RESOURCE = 1 << 24


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for of one component: its probe and the files that it should have."""

    name: str
    probe: str = field(repr=False)
    paths: tuple[str, ...]
    services: tuple[str, ...] = ()
    """Services that have to start with the host."""


@dataclass(frozen=True, slots=True)
class SurveyRequest:
    """What a host is asked in one survey."""

    questions: tuple[Question, ...]
    urls: tuple[str, ...]
    """What the host has to reach."""
    towards: str
    """An address of the cluster's API: the host's own address towards it is the node's."""
    digest: str
    """Hash of the questions and of where they are asked."""


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom a host belongs, as it says itself."""

    uid: str = ""
    machine: str = ""
    """`namespace/name`"""
    cluster: str = ""
    installation: str = ""
    """Identity of the meta cluster."""

    def text(self) -> str:
        """As it is written on the host."""
        return "\n".join(
            f"{key}={value}"
            for key, value in (
                ("uid", self.uid),
                ("machine", self.machine),
                ("cluster", self.cluster),
                ("installation", self.installation),
            )
        )


@dataclass(frozen=True, slots=True)
class Found:
    """One component on the host. `files`: path -> (mode, SHA-256)."""

    version: str = ""
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    recorded: str = ""
    """Hash of the configuration that was last applied completely."""
    begun: bool = False
    """Whether anything of it may be there."""
    wrong: tuple[str, ...] = ()
    """What the kernel, or the manager of services, has otherwise than its files say, as sentences."""


@dataclass(frozen=True, slots=True)
class Identity:
    """By what the kubelet proves itself; the certificate is PEM."""

    certificate: str = ""
    server: str = ""
    ca: str = ""
    """SHA-256 of the CA file."""
    bootstrap: bool = False
    """Whether the file with the bootstrap token is there."""
    kubelet: str = ""
    """State of the service as systemd says it."""
    failing: str = ""
    """The service that failed, or ends and is started again and again; of a component of the host."""
    words: str = ""
    """What that said last, cut and without secrets."""
    started: float | None = None
    """When the kubelet that runs was started, by the host's own clock; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was seen of a host at once."""

    at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    """Those of the file by which pods are to resolve names."""
    tools: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    """What could not be reached from the host, and why."""
    owner: Owner = field(default_factory=Owner)
    found: Mapping[str, Found] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)
    skew: float = 0.0
    """Seconds by which the host's clock is ahead of ours."""
    gpus: Gpus = field(default_factory=Gpus)
    boot: str = ""
    """What tells this boot of the host from others; empty if nothing was done in it."""
    reboots: Mapping[str, str] = field(default_factory=dict)
    """Components that asked for a boot of the host since it booted last, and why."""

    @property
    def arch(self) -> str:
        """Architecture as Go names it; the host's own name for it if that is unknown."""
        machine = self.facts.get("machine", "")
        return _ARCHITECTURES.get(machine, machine)

    @property
    def cpus(self) -> int:
        """Processors; 0 if that is unknown."""
        return _number(self.facts.get("cpus"))

    @property
    def memory_mi(self) -> int:
        """Memory in MiB."""
        return _number(self.facts.get("memoryKi")) // 1024

    @property
    def disk_mi(self) -> int:
        """Free space below /var/lib in MiB."""
        return _number(self.facts.get("disk")) // 1024

    @property
    def lowers_oom_scores(self) -> bool:
        """Whether processes may be made less likely to be killed when memory runs out."""
        try:
            return bool(int(self.facts.get("capabilities", "f" * 16), 16) & _CAP_SYS_RESOURCE)
        except ValueError:
            return True

    def of(self, questions: Iterable[Question], urls: Iterable[str]) -> Survey:
        """The same without what nobody asked for: of other files and URLs a host may tell much."""
        paths = {q.name: frozenset(q.paths) for q in questions}
        asked = frozenset(urls)
        found = {
            name: replace(
                one, files={p: f for p, f in one.files.items() if p in paths.get(name, ())}
            )
            for name, one in self.found.items()
        }
        unreachable = {url: why for url, why in self.unreachable.items() if url in asked}
        return replace(self, found=found, unreachable=unreachable)


def script(questions: Iterable[Question], urls: Sequence[str], towards: str = "") -> str:
    """The script. `urls` must be reachable from the host; `towards` is an address of the API."""
    asked = sorted(questions, key=lambda q: q.name)
    return shell.compose(
        {"KOK_TOWARDS": towards, **table.looked_for()},
        shell.library("survey"),
        shell.library("gpus"),
        "gpus &\nreboots\n",
        *(f"reach {shlex.quote(url)} &\n" for url in urls),
        *(shell.feed("probe", q.name, content=q.probe, after=" &") for q in asked),
        "facts\nbelongings\n",
        shell.call("identity", layout.PKI, layout.KUBECONFIG, layout.CA, layout.BOOTSTRAP),
        *(shell.lines("files", q.name, content=q.paths) for q in asked if q.paths),
        *(shell.call("starts", q.name, unit) for q in asked for unit in q.services),
        "wait\nfact time $(date +%s)\n",
    )


def parse(output: str, now: datetime) -> Survey:
    """What the script printed; `now` is when its last line came."""
    facts, ports = dict[str, str](), set[int]()
    many: dict[str, dict[str, None]] = {key: {} for key in _MANY}
    unreachable: dict[str, str] = {}
    found = _Components()
    owner = ""
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        if kind == "fact" and key in many:
            if len(many[key]) < _MANY[key]:
                many[key][value[:WORD]] = None
        elif kind == "fact" and key == "port":
            ports.add(_number(value))
        elif kind == "fact" and key in _FACTS:
            facts[key] = value.strip()[:FACT]
        elif kind == "reach":
            if value != "ok" and len(key) <= URL and len(unreachable) < UNREACHABLE:
                unreachable[key] = value[:FACT]
        elif kind == "owner":
            owner = key
        else:
            found.take(kind, key, value)
    return Survey(
        at=now,
        facts=facts,
        addresses=_addresses(tuple(many["address"]), facts.get("route", "")),
        nameservers=tuple(many["nameserver"]),
        tools=frozenset(many["tool"]),
        modules=frozenset(many["module"]),
        units=frozenset(many["unit"]),
        ports=frozenset(ports.intersection(layout.KUBELET_PORTS)),
        unreachable=unreachable,
        owner=parse_owner(owner),
        found=found.all(),
        identity=parse_identity(output),
        skew=_skew(facts.get("time", ""), now),
        gpus=gpus.parse(output.splitlines()),
        **_boot(output.splitlines()),
    )


def host_facts(survey: Survey) -> HostFacts:
    """The facts for people and for templates of other systems."""
    facts = {key: value[:_STATUS_TEXT] for key, value in survey.facts.items()}
    cgroup = facts.get("cgroup")
    return HostFacts(
        hostname=facts.get("hostname") or None,
        machine_id=facts.get("machineID") or None,
        os=facts.get("os") or None,
        arch=survey.arch[:_STATUS_TEXT] or None,
        kernel=facts.get("kernel") or None,
        cpus=survey.cpus or None,
        memory_mi=survey.memory_mi or None,
        cgroup="v2" if cgroup == "v2" else "v1" if cgroup == "v1" else None,
        boot_id=facts.get("bootID") or None,
        addresses=[address[:_STATUS_TEXT] for address in survey.addresses[:_STATUS_ADDRESSES]],
    )


def parse_identity(output: str) -> Identity:
    """What a script told of the kubelet's identity."""
    told: dict[str, str] = {}
    for line in output.splitlines():
        if line.startswith("identity "):
            _, key, value, *_ = *line.split(" ", 2), "", ""
            if key in _IDENTITY:
                told[key] = value
    failing, _, journal = told.get("failing", "").partition(" ")
    return Identity(
        certificate=shell.decoded(told.get("certificate", "")),
        server=told.get("server", "")[:FACT],
        ca=told.get("ca", "")[:WORD],
        bootstrap=told.get("bootstrap") == "yes",
        kubelet=told.get("kubelet", "")[:WORD],
        failing=failing if _UNIT.fullmatch(failing) else "",
        words=last_error_line(shell.decoded(journal)),
        started=_number(told.get("started")) / 1000 or None,
    )


def parse_owner(encoded: str) -> Owner:
    """The owner's mark of a host, from base64."""
    pairs = dict(line.split("=", 1) for line in shell.decoded(encoded).splitlines() if "=" in line)
    told = {key: value[:FACT] for key, value in pairs.items()}
    return Owner(
        uid=told.get("uid", ""),
        machine=told.get("machine", ""),
        cluster=told.get("cluster", ""),
        installation=told.get("installation", ""),
    )


def _boot(lines: Iterable[str]) -> dict[str, Any]:
    """The boot that the host is in, and who asked for another one."""
    boot, asked = "", dict[str, str]()
    for line in lines:
        kind, _, rest = line.partition(" ")
        name, _, why = rest.partition(" ")
        if kind == "boot":
            boot = name[:WORD]
        elif kind == "reboot" and len(asked) < COMPONENTS and _NAME.fullmatch(name):
            asked[name] = redact_text(" ".join(shell.decoded(why).split()))[:FACT]
    return {"boot": boot, "reboots": asked if boot else {}}


class _Components:
    """Collects what is told of components, line by line; names that none can have are left out."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._versions: dict[str, str] = {}
        self._files: dict[str, dict[str, tuple[str, str]]] = {}
        self._records: dict[str, str] = {}
        self._wrong: dict[str, list[str]] = {}
        self._room = FILES

    def take(self, kind: str, name: str, rest: str) -> None:
        """One line: `probe`, `file`, `wrong` or `record`."""
        if kind not in ("probe", "file", "record", "wrong") or not self._known(name):
            return
        if kind == "probe":
            self._versions[name] = rest.strip()[:WORD]
        elif kind == "file":
            self._file(name, rest)
        elif kind == "wrong":
            if rest and len(told := self._wrong.setdefault(name, [])) < WRONG:
                told.append(redact_text(rest)[:FACT])
        else:
            # "version config", or nothing while an installation is not through.
            self._records[name] = rest.rpartition(" ")[2][:WORD]

    def _known(self, name: str) -> bool:
        if name not in self._names and len(self._names) < COMPONENTS and _NAME.fullmatch(name):
            self._names.add(name)
        return name in self._names

    def _file(self, name: str, rest: str) -> None:
        digest, mode, path, *_ = *rest.split(" ", 2), "", "", ""
        if path and self._room and _DIGEST.fullmatch(digest) and _MODE.fullmatch(mode):
            self._room -= 1
            self._files.setdefault(name, {})[path] = (mode, digest)

    def all(self) -> dict[str, Found]:
        """What is known of each."""
        names = self._versions.keys() | self._files.keys() | self._records.keys()
        return {
            name: Found(
                version=self._versions.get(name, ""),
                files=self._files.get(name, {}),
                recorded=self._records.get(name, ""),
                begun=name in self._records,
                # Of one that is not there nothing can be wrong.
                wrong=tuple(self._wrong.get(name, ())) if name in self._records else (),
            )
            for name in sorted(names)
        }


def _addresses(listed: Sequence[str], first: str) -> tuple[str, ...]:
    ordered = (first, *listed) if first in listed else listed
    return tuple(dict.fromkeys(ordered))[:ADDRESSES]


def _skew(text: str, now: datetime) -> float:
    try:
        then = datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return 0.0
    # The host tells whole seconds: half of one is the best guess for the rest.
    return (then - now).total_seconds() + 0.5


def _number(text: str | None) -> int:
    return int(text) if text and len(text) <= 18 and text.isdecimal() else 0
