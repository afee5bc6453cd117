"""What the command line asks the meta cluster for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kok import pki
from kok.api import KINDS, Cluster, Component
from kok.api.meta import Kind, Manifest
from kok.api.names import admin_kubeconfig_secret, context
from kok.cli.identity import from_environment
from kok.cli.options import KubectlOptions
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.errors import KubeError, NotFound, TooLarge
from kok.kube.objects.machines import picked
from kok.kube.objects.ownership import owned_by

# Clusters first, which people ask for; Components only say that their templates can be used.
SHOWN = tuple(
    k.info.kind for k in sorted(KINDS, key=lambda k: k is not Cluster) if k is not Component
)
FIELD_MANAGER = "kok-cli"


@dataclass(frozen=True, slots=True)
class Row:
    """One object, or why all of a kind are missing; `age` in seconds, `ready` None where the kind
    has no such condition."""

    kind: str
    namespace: str
    name: str
    phase: str
    ready: str | None
    reason: str
    message: str
    age: float | None


async def admin_kubeconfig(cluster: str, namespace: str | None, options: KubectlOptions) -> str:
    """The kubeconfig of a business cluster. Raises `NotFound` or `Refused` with a sentence."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        found = await named(kube, Cluster.info.kind, cluster, where)
        secret = await kube.get(kinds.SECRET, admin_kubeconfig_secret(cluster), where)
    if secret is None or "kubeconfig" not in (secret.get("data") or {}):
        text = f"Cluster {where}/{cluster} has no kubeconfig yet: {_ready(found)[2] or 'no status'}"
        raise NotFound(404, "NotFound", text)
    return _made_anew(secret, Cluster.parse(found))


class Refused(KubeError):
    """Not the API server refuses, but this command."""

    def __init__(self, message: str) -> None:
        super().__init__(409, "Refused", message)


def _made_anew(secret: Manifest, cluster: Cluster) -> str:
    """A kubeconfig of what is in the Secret: address, CA, certificate and key, and nothing else.

    Whoever may write in the namespace decides on the Secret; what he writes must not name a
    program, a file or a proxy of whoever uses the kubeconfig.
    """
    where = f"Secret {cluster.namespace}/{secret['metadata']['name']}"
    if not owned_by(secret, cluster):
        raise Refused(f"{where} does not belong to {cluster}; delete it, it is made anew")
    try:
        found = pki.parse_kubeconfig(pki.decode(secret, "kubeconfig") or b"")
        if not isinstance(found.credentials, pki.Leaf):
            raise pki.PkiError("it holds no client certificate")
        if not _ADDRESS.fullmatch(found.server):
            raise pki.PkiError("its server is not https://host:port")
        pki.split(found.ca_pem)
        # Nothing beside them: what reads the key is to find the one that was judged.
        certificates = b"".join(pki.split(found.credentials.cert_pem))
        leaf = pki.Leaf(certificates, pki.judged_key(found.credentials.key_pem))
        called = context(cluster.namespace, cluster.name)
        return pki.kubeconfig(called, found.server, found.ca_pem, called, leaf, context_name=called)
    except pki.PkiError as error:
        text = f"{where} is not what KOK wrote: {str(error)[:200]}; delete it, it is made anew"
        raise Refused(text) from None


_ADDRESS = re.compile(r"https://[A-Za-z0-9_.:\[\]-]{1,260}")


async def overview(
    namespace: str | None, options: KubectlOptions, *, everywhere: bool, now: datetime | None = None
) -> list[Row]:
    """All objects of the kinds in `SHOWN`, kind by kind."""
    async with await connected(options) as kube:
        where = None if everywhere else namespace_of(kube, namespace)
        at = now or datetime.now(UTC)
        rows = await asyncio.gather(*(_rows(kube, kind, where, at) for kind in SHOWN))
    return [row for some in rows for row in some]


async def connected(options: KubectlOptions) -> Kube:
    """A client of the meta cluster as whom the command line says; raises `AccessError`."""
    access = await asyncio.to_thread(from_environment, options)
    return Kube(access, field_manager=FIELD_MANAGER)


def namespace_of(kube: Kube, namespace: str | None) -> str:
    """Where to look: as asked for, or as the kubeconfig says."""
    return namespace or kube.access.namespace or "default"


async def named(
    kube: Kube, kind: Kind, name: str, namespace: str, *, unread: Collection[str] = ()
) -> Manifest:
    """One object. Raises `NotFound` with a sentence if it is not there, otherwise as `Kube.get`."""
    found = await kube.get(kind, name, namespace, unread=unread)
    if found is None:
        text = f"there is no {kind.kind} {name} in namespace {namespace}; name another with -n"
        raise NotFound(404, "NotFound", text)
    return found


async def _rows(kube: Kube, kind: Kind, namespace: str | None, now: datetime) -> list[Row]:
    try:
        found = await kube.list(kind, namespace, unread=ANYTHING, keep=_shown)
    except NotFound:
        # The kind's definition is not installed: there are none.
        return []
    except TooLarge as error:
        # Somebody's objects of one kind hide nothing of the others.
        return [Row(kind.kind, namespace or "", "", "", None, error.reason, error.message, None)]
    return [row_of(manifest, now) for manifest in found]


def _shown(manifest: Manifest) -> Manifest:
    """What a row is made of: objects may be large, and those of all namespaces many."""
    status = manifest.get("status") or {}
    conditions = status.get("conditions")
    told = [c for c in conditions if _is_ready(c)] if isinstance(conditions, list) else []
    return {
        "kind": manifest["kind"],
        "metadata": picked(manifest["metadata"], ("namespace", "name", "creationTimestamp")),
        "status": {**picked(status, ("phase",)), "conditions": told},
    }


def _is_ready(condition: object) -> bool:
    """Whether it is that condition; what was stored before the CRD said so may be anything."""
    return isinstance(condition, dict) and condition.get("type") == "Ready"


def row_of(manifest: Manifest, now: datetime) -> Row:
    """What to show of an object."""
    meta: dict[str, Any] = manifest["metadata"]
    ready, reason, message = _ready(manifest)
    born = datetime.fromisoformat(meta["creationTimestamp"])
    return Row(
        kind=manifest["kind"],
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        phase=str((manifest.get("status") or {}).get("phase") or ""),
        ready=ready,
        reason=reason,
        message=message,
        age=(now - born).total_seconds(),
    )


def _ready(manifest: Manifest) -> tuple[str | None, str, str]:
    for condition in (manifest.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            said = (condition.get(key) or "" for key in ("status", "reason", "message"))
            status, reason, message = map(str, said)
            return status, reason, message
    return None, "", ""
