"""What is known of releases: garbage in place of it, and a CVE that most Clusters have."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.polling import eventually
from e2e.stories.fleet import (
    ALL,
    NAMESPACE,
    NEW,
    OLD,
    SHOP,
    STAYING,
    away,
    expect,
    fleet,
    quotes,
    ready,
    until_phase,
)
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster.releases import DOCUMENT, NAME
from kok.versions.knowledge import SIZE_MOST

CVE, UNHEARD_OF = "CVE-2026-12345", "CVE-2026-99999"
SUMMARY = "whoever may read one Secret may read all of them"
TOLD = f"{CVE}, Critical ({SUMMARY}): fixed in {NEW}"
KNOWN = f"""\
format: 1
issued: 2026-11-27T17:00:00Z
kubernetes:
  "1.37": {{patches: [{OLD}, {NEW}], endOfLife: 2027-10-28}}
vulnerabilities:
  - id: {CVE}
    severity: Critical
    summary: {SUMMARY}
    fixed: {{"1.37": {NEW}}}
"""
GARBAGE = {
    "no YAML": ("{]: no", "it is neither YAML nor JSON"),
    "a list": ("- 1\n- 2\n", "it is no mapping"),
    "aliases": ("a: &a [1]\nb: [*a, *a]\n", "it has an alias"),
    "wrong types": (f"{KNOWN.partition('kubernetes')[0]}kubernetes: [1.37.1]\n", "kubernetes: "),
    "another format": (KNOWN.replace("format: 1", "format: 99"), "format: "),
    "too large": ("#" * (SIZE_MOST + 1), f"more than {SIZE_MOST}"),
    "many values": (f"format: 1\nx: [{'1,' * (SIZE_MOST // 2 - 20)}]\n", "issued: "),
}
"""What somebody may write, and what is said of it."""
CANNOT = "knowledge of releases cannot be used"
"""What the operator's log says."""
_numbers = itertools.count(1)


@asynccontextmanager
async def untouched(w: Environment) -> AsyncIterator[None]:
    """What was known before is known again after the block; within it begins with nothing."""
    before = await w.kube.get(kinds.CONFIGMAP, NAME, OPERATORS)
    await w.kube.delete(kinds.CONFIGMAP, NAME, OPERATORS)
    try:
        yield
    finally:
        await w.kube.delete(kinds.CONFIGMAP, NAME, OPERATORS)
        if before is not None:
            meta = {k: v for k, v in before["metadata"].items() if k in {"labels", "annotations"}}
            where = {"name": NAME, "namespace": OPERATORS}
            await w.kube.apply({**before, "metadata": {**meta, **where}})


async def write(w: Environment, document: str) -> None:
    """Puts a document where the operators look for it."""
    await w.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": OPERATORS},
            "data": {DOCUMENT: document},
        }
    )


async def says(
    w: Environment, name: str, status: str, reason: str, *words: str, type_: str = "Vulnerable"
) -> None:
    """Waits until a Cluster says so, and has it looked at: nobody wakes it for what becomes known."""

    async def told() -> bool:
        mark = {"kok.dev/look": str(next(_numbers))}
        await w.kube.patch(clusters.KIND, name, NAMESPACE, {"metadata": {"annotations": mark}})
        found = await clusters.get(w, NAMESPACE, name)
        said = etcd.sentence(found, type_)
        return etcd.says(type_, status, reason)(found) and all(word in said for word in words)

    await eventually(told, clusters.LONG, every=1.0)


async def garbage(w: Environment) -> None:
    """garbage in place of what is known of releases is told by each Cluster, and harms none

    Nothing is known of CVEs after it.
    """
    await says(w, SHOP, "True", "PatchAvailable", f"{NEW} is out, {OLD} runs", type_="Outdated")
    before = await _operator(w)
    where = f"ConfigMap {OPERATORS}/{NAME}, {DOCUMENT}: "
    for what, (text, words) in GARBAGE.items():
        await write(w, text)
        await says(w, SHOP, "Unknown", "ReleasesUnusable", where, words)
        found = await clusters.get(w, NAMESPACE, SHOP)
        if not has("Ready")(found) or not has("Progressing", "False")(found):
            raise AssertionError(f"{what} is more than a matter of words: {found['status']}")
        w.report.line(f"{what}: {etcd.sentence(found, 'Vulnerable')}")
    if (after := await _operator(w)) != before:
        raise AssertionError(f"the operator was {before} and is {after}")
    await w.apply(fleet("unheard-of", target={"fixes": UNHEARD_OF}))
    refused = await until_phase(w, "unheard-of", "Refused")
    quotes(ready(refused, "False", "CVEUnknown"), UNHEARD_OF, "is not known")
    await away(w, "unheard-of")


async def cve(w: Environment) -> None:
    """a CVE is told by each Cluster that has it, and stays known when garbage comes after it

    It is known after that.
    """
    await write(w, KNOWN)
    for name in ALL:
        await says(w, name, "True", "VulnerabilityKnown", TOLD)
    lines = await _complaints(w)
    await write(w, GARBAGE["another format"][0])

    async def complains() -> bool:
        return await _complaints(w) > lines

    await eventually(complains, clusters.SOON, every=1.0)
    await says(w, SHOP, "True", "VulnerabilityKnown", TOLD)
    await w.apply(fleet("still-known", target={"fixes": CVE}, dryRun=True))
    planned = await until_phase(w, "still-known", "DryRun")
    expect(planned, dict.fromkeys(ALL, ("Waiting", "")))
    await away(w, "still-known")
    await write(w, KNOWN)


async def none_left(w: Environment) -> None:
    """no Cluster is told to have the CVE any more"""
    for name in STAYING:
        await says(w, name, "False", "NoneKnown", f"no CVE of {NEW} is known")


async def _complaints(w: Environment) -> int:
    """How often the operator's log says that a document cannot be used."""
    said: str = await w.lab.kubectl("logs", "-n", OPERATORS, "deployment/kok-cluster")
    return said.count(CANNOT)


async def _operator(w: Environment) -> dict[str, tuple[str, int]]:
    """The operator's pods, with what is another one after a restart."""
    found: list[Manifest] = await w.kube.list(kinds.POD, OPERATORS)
    return {
        pod["metadata"]["name"]: etcd.lives(pod)
        for pod in found
        if pod["metadata"]["name"].startswith("kok-cluster-")
    }
