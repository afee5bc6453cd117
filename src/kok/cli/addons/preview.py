"""What an addon comes to, rendered here as the cluster operator renders it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kok import versions
from kok.addons import TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.cli.addons.world import ADDON, Here
from kok.cli.query import Refused
from kok.operators.cluster.addon.bundle import Bundle, BundleRenderer
from kok.operators.cluster.addon.context import context_of
from kok.runtime.controller.errors import ReconcileStop
from kok.runtime.sandbox.pool import SandboxPool


def intended(
    cluster: Cluster, name: str, values: Mapping[str, Any], live: Manifest | None
) -> Addon:
    """The Addon that a Cluster makes of an entry of `spec.addons`; `live` is the one that is there.

    Where the servers of a tunnel are the operator alone knows, so that this is taken from there.
    """
    made, there = dict(values), (live or {}).get("spec", {}).get("values") or {}
    if name == TUNNEL_AGENT and "server" in there:
        made["server"] = there["server"]
    meta = {"name": names.cluster_addon(cluster.name, name), "namespace": cluster.namespace}
    spec = {"cluster": cluster.name, "source": {"builtin": name}, "values": made}
    about = {"apiVersion": ADDON.api_version, "kind": ADDON.kind}
    return Addon.parse({**about, "metadata": meta, "spec": spec})


async def bundle_of(at: Here, addon: Addon, version: str | None = None) -> Bundle | None:
    """The objects of an Addon, for another `version` of Kubernetes if there is one.

    None for a cluster that has no endpoint yet, so that nothing can be rendered. Raises `Refused` with
    what is wrong with templates or values.
    """
    context = context_of(at.cluster, before=addon.spec.goes_before)
    if context is None:
        return None
    if version is not None:
        context = replace(context, version=version)
    renderer = BundleRenderer(SandboxPool(), helm=os.environ.get("KOK_HELM", "helm"))
    try:
        return await renderer.bundle(at.kube, addon, context)
    except ReconcileStop as stop:
        raise Refused(f"{addon.name}: {stop.reason}: {stop.message}") from None
    except versions.UnknownVersion as error:
        raise Refused(str(error)) from None
    finally:
        await renderer.close()
