"""What `kok doctor` finds: hosts that were left with keys and software of a node on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError
from rich.table import Table

from kok.api.machine.host import AbandonedHost
from kok.api.names import ABANDONED_HOSTS
from kok.cli.options import KubectlOptions
from kok.cli.query import connected
from kok.cli.table import age, cell, empty
from kok.kube import kinds
from kok.kube.errors import NotFound


async def abandoned_hosts(namespace: str, options: KubectlOptions) -> dict[str, AbandonedHost]:
    """The hosts by the IDs of their entries; `namespace` is the operators'.

    Raises `NotFound` with a sentence if there is no such list.
    """
    async with await connected(options) as kube:
        found = await kube.get(kinds.CONFIGMAP, ABANDONED_HOSTS, namespace)
    if found is None:
        raise NotFound(
            404,
            "NotFound",
            f"there is no ConfigMap {ABANDONED_HOSTS} in namespace {namespace}; say with "
            "--operators where the operators of KOK run",
        )
    return _readable(found.get("data") or {})


async def strike_off(namespace: str, ident: str, options: KubectlOptions) -> None:
    """Takes an entry off the list. Raises `NotFound` with a sentence if there is none."""
    known = await abandoned_hosts(namespace, options)
    if ident not in known:
        raise NotFound(
            404, "NotFound", f"no abandoned host has the ID {ident}; kok doctor lists them"
        )
    async with await connected(options) as kube:
        change = {"data": {ident: None}}
        await kube.patch(kinds.CONFIGMAP, ABANDONED_HOSTS, namespace, change)


def table(hosts: Mapping[str, AbandonedHost], now: datetime) -> Table:
    """One line a host, the one that was given up first at the top."""
    out = empty("HOST", "MACHINE", "CLUSTER", "AGE", "ID", "WHY", "LEFT TO DO")
    for ident, host in sorted(hosts.items(), key=lambda item: (item[1].since, item[0])):
        where = host.address if host.port == 22 else f"{host.address} port {host.port}"
        cells = (
            where,
            f"{host.namespace}/{host.machine}",
            f"{host.namespace}/{host.cluster}",
            age((now - host.since).total_seconds()),
            ident,
            host.why,
            host.left,
        )
        out.add_row(*map(cell, cells))
    return out


def _readable(data: Mapping[str, str]) -> dict[str, AbandonedHost]:
    found: dict[str, AbandonedHost] = {}
    for ident, text in data.items():
        try:
            found[ident] = AbandonedHost.model_validate_json(text)
        except ValidationError:
            continue  # Written by hand, or by a newer release.
    return found
