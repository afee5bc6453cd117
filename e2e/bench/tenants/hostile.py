"""Tenants that do their worst: what one may write in his own namespace, all of it at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import asyncssh

from e2e.fixtures import userfiles
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, until
from kok.api import Addon, Cluster, Host, Machine
from kok.api.meta import Manifest
from kok.kube.errors import KubeError
from kok.operators.cluster import reasons

TENANTS = 8
ADDONS = 10
MACHINES = 40
CHANGES_EVERY = 1.0
"""Seconds between two changes that one tenant makes."""
GONE = 900.0
CLUSTER, HOST = "worst", "host"
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
LAUGHS = "\n".join(
    ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
)
BOMBS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10000000000 }}",
    f"{HEAD}{LAUGHS}",
    f"{HEAD}data: &d {{again: *d}}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
)
"""Templates that take all time, all memory, all memory once parsed, or run into themselves."""
HUGE = "# nothing but a comment\n" * 17_000
"""Some 400 KiB; of few fields, since each costs the meta API far more than it costs an operator."""
DENSE, READERS = 3, 3
"""Machines of ever so many values in a tenant's namespace, and KubeNodes, each of which looks at all
Machines there whenever a Host changes."""
VALUES = 100_000
"""Of each of these Machines, in 300 KB."""
LEVELS = 3000
"""To which values are nested that no parser bears."""


def namespaces() -> list[str]:
    """One for each tenant."""
    return [f"worst-{n}" for n in range(TENANTS)]


@asynccontextmanager
async def at_work(w: Environment) -> AsyncIterator[None]:
    """While it lasts the tenants are at it; all that they made is gone afterwards."""
    changing: list[asyncio.Task[None]] = []
    try:
        for name in namespaces():
            # One after the other: what is measured is the operators' load, not the meta API's.
            await _settle_in(w, name)
        changing = [asyncio.create_task(_keep_changing(w, name)) for name in namespaces()]
        yield
        for task in changing:
            if task.done():
                task.result()
    finally:
        for task in changing:
            task.cancel()
        await asyncio.gather(*changing, return_exceptions=True)
        await asyncio.gather(*(w.drop_namespace(n, within=GONE) for n in namespaces()))


async def _settle_in(w: Environment, namespace: str) -> None:
    """Everything is there, and the operators have seen that the templates are to be rendered."""
    await w.namespace(namespace)
    await w.apply(_cluster(namespace))
    for number in range(ADDONS):
        await w.apply(_addon(namespace, number, 0))
    await w.apply(
        _object(
            namespace,
            "Addon",
            "huge",
            cluster=CLUSTER,
            source={"builtin": "coredns"},
            values=_huge(0),
        ),
        _secret(namespace),
        *(_component(namespace, number) for number in range(len(BOMBS))),
        *(_machine(namespace, number) for number in range(MACHINES)),
        _host(namespace),
        *(_reader(namespace, number) for number in range(READERS)),
    )
    for number in range(DENSE):
        # An apply would have the meta API note the writer of each value.
        await w.kube.create(_dense(namespace, number))
    await w.lab.kubectl("apply", "--server-side", "-f", "-", stdin=_deep(namespace))
    await until(w.kube, Cluster.info.kind, CLUSTER, namespace, _has_endpoint, within=180.0)
    # Heavier than its others, and the first for which the namespace is remembered.
    await until(w.kube, Addon.info.kind, "bomb-0", namespace, _judged, within=600.0)


async def _keep_changing(w: Environment, namespace: str) -> None:
    """New templates and values, so that nothing that was remembered helps."""
    turn = 0
    while True:
        turn += 1
        change = {"spec": {"source": {"inline": _bomb(turn, turn)}}}
        label = {"metadata": {"labels": {"turn": str(turn)}}}
        with contextlib.suppress(KubeError):
            await w.kube.patch(Addon.info.kind, f"bomb-{turn % ADDONS}", namespace, change)
            await w.kube.patch(Machine.info.kind, f"m-{turn % MACHINES}", namespace, label)
            await w.kube.patch(Host.info.kind, HOST, namespace, label)
            if turn % 10 == 0:
                values = {"spec": {"values": _huge(turn)}}
                await w.kube.patch(Addon.info.kind, "huge", namespace, values)
        await asyncio.sleep(CHANGES_EVERY)


def _judged(manifest: Manifest) -> bool:
    return condition(manifest, "Ready").get("reason") == reasons.TEMPLATE_INVALID


def _has_endpoint(manifest: Manifest) -> bool:
    return bool((manifest.get("status") or {}).get("endpoint"))


def _huge(turn: int) -> dict[str, Any]:
    return {"extraConfig": f"{HUGE}# {turn}\n"}


def _bomb(number: int, turn: int) -> str:
    return f"{{# {turn} #}}{BOMBS[number % len(BOMBS)]}"


def _object(namespace: str, kind: str, name: str, /, **spec: Any) -> Manifest:
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _cluster(namespace: str) -> Manifest:
    """Has an endpoint, so that its addons are rendered; its API servers run nowhere."""
    nowhere = {"nodeSelector": {"example.com/nowhere": "yes"}}
    spec = {"version": "1.37.1", "profile": "edge", "apiServer": nowhere}
    return _object(namespace, "Cluster", CLUSTER, **spec)


def _addon(namespace: str, number: int, turn: int) -> Manifest:
    source = {"inline": _bomb(number, turn)}
    return _object(namespace, "Addon", f"bomb-{number}", cluster=CLUSTER, source=source)


def _deep(namespace: str) -> str:
    values = '{"a":' * LEVELS + "1" + "}" * LEVELS
    spec = {"cluster": CLUSTER, "source": {"inline": HEAD}, "values": {"deep": 0}}
    text = json.dumps(_object(namespace, "Addon", "deep", **spec))
    return text.replace('{"deep": 0}', values)


def _component(namespace: str, number: int) -> Manifest:
    """Its template is a bomb, and so is the pattern of its schema."""
    return _object(
        namespace,
        "Component",
        f"tool-{number}",
        name="tool",
        version=str(number),
        parameters={"type": "object", "properties": {"word": {"pattern": "^(a+)+$"}}},
        scripts={"probe": "true", "install": BOMBS[number], "uninstall": "true"},
    )


def _machine(namespace: str, number: int) -> Manifest:
    """At an address of which nobody ever answers; with parameters that match for ever."""
    params = {"word": "a" * 60 + "!", "number": number}
    return _object(
        namespace,
        "Machine",
        f"m-{number}",
        cluster=CLUSTER,
        node=f"n-{number}",
        address=f"192.0.2.{number + 1}",
        port=1024 + int(namespace.rpartition("-")[2]),
        ssh={"user": "root", "secret": userfiles.SSH_SECRET},
        components=[{"name": "tool", "version": str(number % len(BOMBS)), "params": params}],
    )


def _dense(namespace: str, number: int) -> Manifest:
    machine = _machine(namespace, MACHINES + number)
    machine["spec"]["components"][0]["params"] = {"a": [[]] * VALUES}
    return machine


def _host(namespace: str) -> Manifest:
    ssh = {"secret": userfiles.SSH_SECRET}
    return _object(namespace, "Host", HOST, address="192.0.2.254", ssh=ssh)


def _reader(namespace: str, number: int) -> Manifest:
    """Wants no host, and looks at all there is all the same."""
    pool = {"matchLabels": {"example.com/nowhere": "yes"}}
    return _object(namespace, "KubeNode", f"k-{number}", cluster=CLUSTER, pool=pool, replicas=0)


def _secret(namespace: str) -> Manifest:
    key, passphrase = _endless_key()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": userfiles.SSH_SECRET, "namespace": namespace},
        "stringData": {"ssh-privatekey": key, "passphrase": passphrase},
    }


@cache
def _endless_key() -> tuple[str, str]:
    """A key that claims that its passphrase was hashed 2^32 - 1 times."""
    passphrase = "worst"  # noqa: S105 - protects nothing
    made = asyncssh.generate_private_key("ssh-ed25519")
    lines = made.export_private_key(passphrase=passphrase, rounds=50).splitlines()
    content = base64.b64decode(b"".join(lines[1:-1]))
    content = content.replace((50).to_bytes(4), b"\xff" * 4, 1)
    return b"\n".join([lines[0], base64.b64encode(content), lines[-1], b""]).decode(), passphrase
