"""`kok machine check`: whether hosts can become nodes, before anything is made of them.

They are looked at from where the command runs, by the same script and the same rules as by the
operator. Nothing is changed on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from rich.table import Table

from kok import versions
from kok.api import Cluster, KubeNode, Machine
from kok.api.machine.machine import Finding
from kok.cli.machines.candidates import Candidate, Files
from kok.cli.machines.logins import connections, login, target
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, connected, namespace_of
from kok.cli.table import cell, empty
from kok.kube.http.access import AccessError
from kok.kube.objects.addresses import address
from kok.operators.machine.component import catalog
from kok.operators.machine.remote import commands, host_paths, preflight, shell
from kok.operators.machine.remote.ssh import Connection, Connections, Expected, HostError
from kok.operators.machine.remote.survey import Survey
from kok.runtime.conditions import Verdict
from kok.runtime.redact import redact_text

AT_ONCE = 16
"""Hosts that are looked at side by side."""
RESOLVE_DEADLINE = 60.0
_REGISTRY = "https://registry.k8s.io"
_COLOURS = {"Error": "red", "Warning": "yellow"}

Level = Literal["Error", "Warning"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one host."""

    name: str
    place: str
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """Whether it can become a node."""
        return preflight.passed(self.findings)


@dataclass(frozen=True, slots=True)
class Destination:
    """What a host has to reach."""

    check: str
    what: str
    level: Level = "Error"


Objects = Callable[[str], list[dict[str, Any]]]


async def check(
    objects: Objects, cluster: str, namespace: str | None, options: KubectlOptions
) -> list[Checked]:
    """Looks at all hosts of some objects, which are made for a namespace. Raises `KubeError`.

    `cluster` is the one that hosts are for of which nothing else says that.
    """
    try:
        kube = await connected(options)
    except AccessError:
        # Before anything is there, files may say all.
        files = Files(None, namespace or "default")
        return await _check(files, objects, cluster)
    async with kube:
        files = Files(kube, namespace_of(kube, namespace))
        return await _check(files, objects, cluster)


async def _check(files: Files, objects: Objects, cluster: str) -> list[Checked]:
    files.objects = objects(files.namespace)
    found = files.candidates()
    if not found:
        raise Refused(
            "no host is named; give files with a KubeNode that lists hosts, Machines or Hosts, or an "
            "address by --address"
        )
    turn = asyncio.Semaphore(AT_ONCE)
    async with connections() as made:

        async def one(candidate: Candidate) -> Checked:
            async with turn:
                given = replace(candidate, cluster=candidate.cluster or cluster)
                return await _checked(files, made, given)

        return list(await asyncio.gather(*map(one, found)))


async def _checked(files: Files, made: Connections, candidate: Candidate) -> Checked:
    obj = candidate.obj
    place = obj.spec.address if obj.spec.port == 22 else f"{obj.spec.address} port {obj.spec.port}"
    place += f" (behind bastion {behind})" if (behind := obj.spec.ssh.behind) else ""
    try:
        found = await _findings(files, made, candidate)
    except HostError as error:
        found = [_finding(error.reason, error.message)]
    return Checked(obj.name, place, sorted(found, key=lambda f: f.level != "Error"))


async def _findings(files: Files, made: Connections, candidate: Candidate) -> list[Finding]:
    obj = candidate.obj
    given = await login(obj, *await files.secrets(obj.spec.ssh))
    if isinstance(given, Verdict):
        return [_finding(given.reason, given.message)]
    credentials, bastion = given
    key, found = obj.spec.host_key or obj.status.host_key, list[Finding]()
    if not key:
        key = await made.scan(obj.spec.address, obj.spec.port, bastion)
        password = credentials.password is not None
        found.append(_unknown_key(key, password=password))
        if password:
            return found
    connection = await made.get(_key(candidate), target(obj, given, Expected(key, "spec")))
    cluster = await files.cluster(candidate.cluster) if candidate.cluster else None
    if candidate.cluster and cluster is None:
        text = f"Cluster {candidate.cluster} does not exist yet, so that its API was not looked for"
        found.append(_finding("Cluster", text, "Warning"))
    wanted = destinations(candidate, cluster)
    towards = _hostname(cluster.status.endpoint or "") if cluster is not None else ""
    survey = await commands.look(connection, (), tuple(wanted), towards, lambda: datetime.now(UTC))
    unresolved = await _unresolved(connection, wanted)
    found += _unreached(survey, wanted, unresolved)
    return [*found, *_of_host(candidate, cluster, survey, connection)]


def _key(candidate: Candidate) -> str:
    """Of the connection: two hosts may have the same name in two files, and behind two bastions the
    same address."""
    spec = candidate.obj.spec
    return f"{candidate.obj.name} {spec.address} {spec.port} {spec.ssh.behind}"


def _unknown_key(key: str, *, password: bool) -> Finding:
    text = (
        f"hostKey is missing; the host shows {key}: compare it with what `ssh-keygen -lf "
        "/etc/ssh/ssh_host_ed25519_key.pub` prints on the host, and write it down"
    )
    if password:
        text += "; nothing else was looked at, since the password would go to whoever answers there"
    return _finding("HostKey", text, "Error" if password else "Warning")


def destinations(candidate: Candidate, cluster: Cluster | None) -> dict[str, Destination]:
    """What the host has to reach, by URL."""
    kubenode, obj = candidate.kubenode, candidate.obj
    found: dict[str, Destination] = {}
    if cluster is not None and cluster.status.endpoint:
        found[f"{cluster.status.endpoint.rstrip('/')}/livez"] = Destination(
            "Endpoint", f"the API of Cluster {cluster.name}"
        )
    owner = kubenode if kubenode is not None else obj if isinstance(obj, Machine) else None
    base = owner.spec.artifacts.base_url if owner is not None else ""
    for url in [f"{base.rstrip('/')}/"] if base else _upstream(kubenode, cluster):
        found[url] = Destination("Artifacts", "the software of nodes")
    mirrors = kubenode.spec.registry.mirrors if kubenode is not None else {}
    for url in (listed[0] for listed in mirrors.values() if listed):
        found[f"{url.rstrip('/')}/v2/"] = Destination("Registry", "a mirror of images", "Warning")
    if not mirrors:
        registry = cluster.spec.images.registry if cluster is not None else ""
        url = f"https://{registry.partition('/')[0]}" if registry else _REGISTRY
        found[f"{url}/v2/"] = Destination("Registry", "the registry of images")
    return found


def _upstream(kubenode: KubeNode | None, cluster: Cluster | None) -> list[str]:
    """The sites that publish what a node needs."""
    version = kubenode.spec.version if kubenode is not None else None
    version = version or (cluster.spec.version if cluster is not None else None)
    software = {host_paths.KUBELET: version or "0"}
    if version is not None:
        with suppress(versions.UnknownVersion):
            software |= versions.kubernetes(version).facts.host_components
    sites: dict[str, None] = {}
    for name, chosen in software.items():
        for source in catalog.sources(name, chosen):
            parts = urlsplit(source.url)
            sites[f"{parts.scheme}://{parts.netloc}/"] = None
    return list(sites)


async def _unresolved(connection: Connection, wanted: Iterable[str]) -> set[str]:
    """The names among them that the host cannot resolve; none if it has no program to ask."""
    hosts = {_hostname(url) for url in wanted}
    named = sorted(one for one in hosts if one and address(one) is None)
    text = shell.compose(
        {},
        'has getent || exit 0\nresolves() { timeout 10 getent ahosts -- "$1" >/dev/null || '
        'say "unresolved $1"; }\n',
        *(shell.call("resolves", one) for one in named),
    )
    output = await connection.run(text, deadline=RESOLVE_DEADLINE)
    said = {line.removeprefix("unresolved ") for line in output.splitlines()}
    return said & set(named)


def _hostname(url: str) -> str:
    """Empty where the URL is none, which the host tells when it is to reach it."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unreached(
    survey: Survey, wanted: Mapping[str, Destination], unresolved: set[str]
) -> Iterable[Finding]:
    for name in sorted(unresolved):
        servers = ", ".join(survey.nameservers[:3]) or "none"
        yield _finding(
            "DNS",
            f"the host cannot resolve {name} (its name servers: {servers}); correct "
            f"{survey.facts.get('resolver', '/etc/resolv.conf')}, or write another address",
        )
    for url, destination in wanted.items():
        problem = survey.unreachable.get(url)
        if problem is None or _hostname(url) in unresolved:
            continue
        yield _finding(
            destination.check,
            f"{redact_text(url)} ({destination.what}) cannot be reached from the host: "
            f"{redact_text(problem)}; check address, proxy, routes and firewalls",
            destination.level,
        )


def _of_host(
    candidate: Candidate, cluster: Cluster | None, survey: Survey, connection: Connection
) -> Iterable[Finding]:
    obj, owner = candidate.obj, survey.owner
    mine = bool(owner.uid) and owner.uid == obj.metadata.uid
    if owner.uid and not mine:
        text = commands.taken(connection.target.place, owner, obj.namespace)
        yield _finding("HostInUse", text)
    network = cluster.spec.network if cluster is not None else None
    yield from preflight.findings(
        preflight.PreflightInput(
            survey=replace(survey, unreachable={}),
            params=_params(candidate),
            neighbours={},
            fetches=True,
            begun=mine or _adopted(candidate, survey),
            adopts=_adopted(candidate, survey),
            networks=(*network.pod_cidrs, *network.service_cidrs) if network is not None else (),
        )
    )


def _adopted(candidate: Candidate, survey: Survey) -> bool:
    """Whether the host is to be taken over as it is, if it is a node of its Cluster."""
    said = candidate.obj if isinstance(candidate.obj, Machine) else candidate.kubenode
    return said is not None and said.spec.adopt and bool(survey.identity.certificate)


def _params(candidate: Candidate) -> dict[str, Mapping[str, Any]]:
    """Of the components, as far as the checks look at them: all hosts here are to become nodes."""
    if isinstance(candidate.obj, Machine):
        return {one.name: one.params for one in candidate.obj.spec.components}
    config = candidate.kubenode.spec.kubelet if candidate.kubenode is not None else {}
    return {host_paths.KUBELET: {"config": config}}


def _finding(check: str, message: str, level: Level = "Error") -> Finding:
    return Finding(check=check, level=level, message=message[: preflight.MESSAGE])


def table(checked: Iterable[Checked]) -> Table:
    """One line a finding."""
    out = empty("HOST", "ADDRESS", "LEVEL", "CHECK", "FINDING")
    for host in checked:
        for finding in host.findings:
            level = cell(finding.level)
            level.stylize(_COLOURS[finding.level])
            out.add_row(
                *map(cell, (host.name, host.place)),
                level,
                cell(finding.check),
                cell(finding.message),
            )
        if not host.findings:
            out.add_row(*map(cell, (host.name, host.place, "OK", "", "nothing stands in the way")))
    return out


def summary(checked: Sequence[Checked]) -> str:
    """The outcome in a line."""
    failed = [one.name for one in checked if not one.passed]
    if not failed:
        return f"{_many(len(checked))} can become {'a node' if len(checked) == 1 else 'nodes'}"
    return f"{len(failed)} of {_many(len(checked))} cannot become nodes: {', '.join(failed)}"


def _many(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"
