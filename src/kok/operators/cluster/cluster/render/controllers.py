"""The Deployments of the controller manager and the scheduler."""

from __future__ import annotations

import copy
import ipaddress

from kok.api.cluster import podrange
from kok.api.meta import Manifest
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.pki.credentials import CLIENT_FILES
from kok.operators.cluster.cluster.render import pods
from kok.operators.cluster.cluster.spec.flags import command_line, known
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.naming import CA_KEY, FRONT_PROXY_CA, KUBECONFIG, ROOTS, SA_KEY
from kok.pki import CA_CRT, TLS_CRT, TLS_KEY

CONTROLLER_MANAGER_PORT, SCHEDULER_PORT = 10257, 10259


def controller_manager(resolved: ResolvedCluster, version: str, keys: str) -> Manifest:
    """The controller manager at a version; `keys` as for the API server."""
    part = resolved.parts[naming.CONTROLLER_MANAGER]
    extra = known(naming.CONTROLLER_MANAGER, part.extra_args, version)
    files = (TLS_CRT, TLS_KEY, CA_CRT, CA_KEY, SA_KEY, FRONT_PROXY_CA, KUBECONFIG)
    container = pods.Container(
        command=command_line(naming.CONTROLLER_MANAGER, controller_manager_flags(resolved), extra),
        port=CONTROLLER_MANAGER_PORT,
        live="/healthz",
        ready="/healthz",
        mounts={"client": CLIENT_FILES},
        volumes=[_files(naming.controller_manager_secret(resolved.name), files)],
    )
    return pods.deployment(resolved, part, version, container, keys)


def with_roots(deployment: Manifest) -> Manifest:
    """The controller manager that tells pods of the CA's issuers, too.

    In a file of its own: what it signs with must be the CA alone.
    """
    changed = copy.deepcopy(deployment)
    pod = changed["spec"]["template"]["spec"]
    for container in pod["containers"]:
        container["command"] = [
            f"--root-ca-file={CLIENT_FILES}/{ROOTS}" if word.startswith("--root-ca-file=") else word
            for word in container["command"]
        ]
    files = pod["volumes"][0]["projected"]["sources"][0]["secret"]["items"]
    files.append({"key": ROOTS, "path": ROOTS})
    return changed


def controller_manager_flags(resolved: ResolvedCluster) -> dict[str, str]:
    """The flags that the operator sets, without dashes."""
    out = {
        **_client_flags(),
        "allocate-node-cidrs": "true",
        "client-ca-file": f"{CLIENT_FILES}/{CA_CRT}",
        "cluster-cidr": ",".join(resolved.pod_cidrs),
        "cluster-name": resolved.name,
        "cluster-signing-cert-file": f"{CLIENT_FILES}/{CA_CRT}",
        "cluster-signing-key-file": f"{CLIENT_FILES}/{CA_KEY}",
        "controllers": "*,bootstrapsigner,tokencleaner",
        "requestheader-client-ca-file": f"{CLIENT_FILES}/{FRONT_PROXY_CA}",
        "root-ca-file": f"{CLIENT_FILES}/{CA_CRT}",
        "secure-port": str(CONTROLLER_MANAGER_PORT),
        "service-account-private-key-file": f"{CLIENT_FILES}/{SA_KEY}",
        "service-cluster-ip-range": ",".join(resolved.service_cidrs),
        "use-service-account-credentials": "true",
    }
    return {**out, **node_masks(resolved.pod_cidrs)}


def scheduler(resolved: ResolvedCluster, version: str, keys: str) -> Manifest:
    """The scheduler at a version; `keys` as for the API server."""
    part = resolved.parts[naming.SCHEDULER]
    extra = known(naming.SCHEDULER, part.extra_args, version)
    container = pods.Container(
        command=command_line(naming.SCHEDULER, scheduler_flags(), extra),
        port=SCHEDULER_PORT,
        live="/livez",
        ready="/readyz",
        mounts={"client": CLIENT_FILES},
        volumes=[
            _files(naming.scheduler_secret(resolved.name), (TLS_CRT, TLS_KEY, CA_CRT, KUBECONFIG))
        ],
    )
    return pods.deployment(resolved, part, version, container, keys)


def scheduler_flags() -> dict[str, str]:
    """The flags that the operator sets, without dashes."""
    return {**_client_flags(), "secure-port": str(SCHEDULER_PORT)}


def _client_flags() -> dict[str, str]:
    kubeconfig = f"{CLIENT_FILES}/{KUBECONFIG}"
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "kubeconfig": kubeconfig,
        "leader-elect": "true",
        "leader-elect-retry-period": pods.RETRY,
        "profiling": "false",
    }


def node_masks(pod_cidrs: tuple[str, ...]) -> dict[str, str]:
    """Flags for the size of each node's share of the pod addresses, where the default is no good.

    The controller manager gives each node a /24 (/64 of IPv6) and refuses to start when that is
    no part of the range, or a too small one (more than 2^16 nodes). A small range is divided by
    16 instead.
    """
    dual = len(pod_cidrs) > 1
    out: dict[str, str] = {}
    for cidr in pod_cidrs:
        version, mask = ipaddress.ip_network(cidr).version, podrange.node_mask(cidr)
        flag = f"node-cidr-mask-size-ipv{version}" if dual else "node-cidr-mask-size"
        if mask != podrange.DEFAULT_MASKS[version]:
            out[flag] = str(mask)
    return out


def _files(secret: str, keys: tuple[str, ...]) -> dict[str, object]:
    return pods.projected("client", pods.secret_files(secret, {key: key for key in keys}))
