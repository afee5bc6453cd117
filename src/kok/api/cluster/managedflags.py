"""Command line flags of the control plane that the operator sets itself and users may not."""

from __future__ import annotations

from typing import Any, Final

from kok.api.fields import rule

MANAGED_FLAGS: Final[dict[str, tuple[str, ...]]] = {
    "apiServer": (
        "advertise-address",
        "allow-privileged",
        # Probes of kubelets come without a name, and so does whoever joins by `kubeadm join`.
        "anonymous-auth",
        "authentication-config",
        "authorization-config",
        "authorization-mode",
        "bind-address",
        "cert-dir",
        "client-ca-file",
        "egress-selector-config-file",
        "enable-bootstrap-token-auth",
        "encryption-provider-config",
        "endpoint-reconciler-type",
        "etcd-cafile",
        "etcd-certfile",
        "etcd-keyfile",
        "etcd-prefix",
        "etcd-servers",
        "etcd-servers-overrides",
        "kubelet-certificate-authority",
        "kubelet-client-certificate",
        "kubelet-client-key",
        "proxy-client-cert-file",
        "proxy-client-key-file",
        "requestheader-allowed-names",
        "requestheader-client-ca-file",
        "requestheader-extra-headers-prefix",
        "requestheader-group-headers",
        "requestheader-username-headers",
        "secure-port",
        "service-account-issuer",
        "service-account-key-file",
        "service-account-signing-key-file",
        "service-cluster-ip-range",
        "tls-cert-file",
        "tls-private-key-file",
    ),
    "controllerManager": (
        "allocate-node-cidrs",
        "authentication-kubeconfig",
        # Probes ask what this opens to everybody.
        "authorization-always-allow-paths",
        "authorization-kubeconfig",
        "bind-address",
        "client-ca-file",
        "cluster-cidr",
        "cluster-name",
        "cluster-signing-cert-file",
        "cluster-signing-key-file",
        "kubeconfig",
        "leader-elect",
        "master",
        "requestheader-client-ca-file",
        "root-ca-file",
        "secure-port",
        "service-account-private-key-file",
        "service-cluster-ip-range",
        "use-service-account-credentials",
    ),
    "scheduler": (
        "authentication-kubeconfig",
        # Probes ask what this opens to everybody.
        "authorization-always-allow-paths",
        "authorization-kubeconfig",
        "bind-address",
        "client-ca-file",
        "kubeconfig",
        "leader-elect",
        "master",
        "requestheader-client-ca-file",
        "secure-port",
    ),
}
"""By the field of a Cluster's `spec`."""


ADVICE: Final = "is set by the operator and cannot be changed; leave it out"


def unmanaged() -> dict[str, Any]:
    """The CEL rule for the name of a flag in `extraArgs`.

    One list for all components: a rule for each would cost the API server more than it allows,
    and no flag that one of them manages is of use to another.
    """
    flags = sorted({flag for managed in MANAGED_FLAGS.values() for flag in managed})
    listed = ", ".join(f"'{flag}'" for flag in flags)
    return rule(f"self + ' {ADVICE}'", f"!(self in [{listed}])", expression=True)
