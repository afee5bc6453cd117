"""The Deployment of the API servers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from kok.api import names
from kok.api.meta import Manifest
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.render import konnectivity, pods
from kok.operators.cluster.cluster.spec.flags import (
    ADMISSION_ON,
    DELAY_FLAG,
    NODE_RESTRICTION,
    WATCH_GRACE_FLAG,
    command_line,
    known,
    last_duration,
)
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.naming import EGRESS_CONFIG, ENCRYPTION_CONFIG, SA_KEY, SA_PUB
from kok.pki import CA_CRT, TLS_CRT, TLS_KEY

PKI: Final = "/etc/kubernetes/pki"
SHUTDOWN_DELAY = 5
"""Seconds in which a stopping server still takes requests: until all have stopped sending them."""
WATCH_GRACE = 10
"""Seconds over which a stopping server ends its watches, so that they do not all come at once."""
REQUEST_GRACE = 30
"""Seconds for requests under way."""


def deployment(resolved: ResolvedCluster, version: str, keys: str) -> Manifest:
    """The Deployment at a version; `keys` is the hash of what is read only at the start."""
    part = resolved.parts[naming.API_SERVER]
    extra = known(naming.API_SERVER, part.extra_args, version)
    tunnel = resolved.tunnel
    container = pods.Container(
        command=command_line(naming.API_SERVER, flags(resolved), extra),
        port=names.API_PORT,
        # While etcd is away a restart helps nothing and costs time when it is back.
        live="/livez?exclude=etcd",
        ready="/readyz",
        mounts={"pki": PKI, **(konnectivity.mounts() if tunnel else {})},
        volumes=[_files(resolved), *(konnectivity.volumes(resolved) if tunnel else ())],
        # The released binary has this file capability: without it the kernel refuses to start it.
        capabilities=("NET_BIND_SERVICE",),
        grace=grace(extra),
        sidecars=[konnectivity.container(resolved, version)] if tunnel else (),
    )
    return pods.deployment(resolved, part, version, container, keys)


def grace(extra: Sequence[tuple[str, str]]) -> int:
    """Seconds that a pod has for its end: it follows what the user's flags say of its phases."""
    delay = last_duration(extra, DELAY_FLAG, SHUTDOWN_DELAY)
    watches = last_duration(extra, WATCH_GRACE_FLAG, WATCH_GRACE)
    return math.ceil(delay + watches) + REQUEST_GRACE


def flags(resolved: ResolvedCluster) -> dict[str, str]:
    """The flags that the operator sets, without dashes."""
    etcd = names.etcd_cluster(resolved.name)
    egress = {"egress-selector-config-file": f"{PKI}/konnectivity/{EGRESS_CONFIG}"}
    return {
        **(egress if resolved.tunnel else {}),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": f"{PKI}/apiserver/{CA_CRT}",
        ADMISSION_ON: NODE_RESTRICTION,
        "enable-bootstrap-token-auth": "true",
        "encryption-provider-config": f"{PKI}/keys/{ENCRYPTION_CONFIG}",
        # Inside the cluster the API is not at this pod's address: the operator keeps the
        # EndpointSlice of the `kubernetes` Service itself.
        "endpoint-reconciler-type": "none",
        "etcd-cafile": f"{PKI}/etcd/{CA_CRT}",
        "etcd-certfile": f"{PKI}/etcd/{TLS_CRT}",
        "etcd-keyfile": f"{PKI}/etcd/{TLS_KEY}",
        "etcd-servers": f"https://{names.etcd_client_service(etcd)}.{resolved.namespace}.svc:2379",
        # Now and then a client is asked to connect anew, so that a new server gets its share. Also
        # with one server: a second one is to restart none.
        "goaway-chance": pods.GOAWAY,
        "kubelet-certificate-authority": f"{PKI}/apiserver/{CA_CRT}",
        "kubelet-client-certificate": f"{PKI}/kubelet-client/{TLS_CRT}",
        "kubelet-client-key": f"{PKI}/kubelet-client/{TLS_KEY}",
        "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
        "profiling": "false",
        "proxy-client-cert-file": f"{PKI}/front-proxy-client/{TLS_CRT}",
        "proxy-client-key-file": f"{PKI}/front-proxy-client/{TLS_KEY}",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-client-ca-file": f"{PKI}/front-proxy-client/{CA_CRT}",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "secure-port": str(names.API_PORT),
        "service-account-issuer": f"https://kubernetes.default.svc.{resolved.dns_domain}",
        "service-account-key-file": f"{PKI}/keys/{SA_PUB}",
        "service-account-signing-key-file": f"{PKI}/keys/{SA_KEY}",
        "service-cluster-ip-range": ",".join(resolved.service_cidrs),
        DELAY_FLAG: f"{SHUTDOWN_DELAY}s",
        "shutdown-send-retry-after": "true",
        WATCH_GRACE_FLAG: f"{WATCH_GRACE}s",
        "tls-cert-file": f"{PKI}/apiserver/{TLS_CRT}",
        "tls-min-version": "VersionTLS12",
        "tls-private-key-file": f"{PKI}/apiserver/{TLS_KEY}",
    }


def _files(resolved: ResolvedCluster) -> dict[str, object]:
    def tls(secret: str, folder: str) -> dict[str, object]:
        wanted = {f"{folder}/{key}": key for key in (TLS_CRT, TLS_KEY, CA_CRT)}
        return pods.secret_files(secret, wanted)

    tunnel = [konnectivity.egress_file(resolved, "konnectivity")] if resolved.tunnel else []
    own = {f"keys/{key}": key for key in (SA_KEY, SA_PUB, ENCRYPTION_CONFIG)}
    return pods.projected(
        "pki",
        tls(naming.serving_secret(resolved.name), "apiserver"),
        tls(naming.kubelet_client_secret(resolved.name), "kubelet-client"),
        tls(naming.front_proxy_client_secret(resolved.name), "front-proxy-client"),
        tls(names.etcd_client_secret(names.etcd_cluster(resolved.name)), "etcd"),
        pods.secret_files(naming.keys_secret(resolved.name), own),
        *tunnel,
    )
