"""Where things lie on a host. The scripts in `scripts/` and the built-in Components agree."""

from __future__ import annotations

KUBELET = "kubelet"
"""Name of the Component that makes a host a node."""
KUBELET_CONFIG_DIR = "/etc/kubernetes/kubelet.conf.d"
REGISTER = f"{KUBELET_CONFIG_DIR}/10-register.conf"
"""With which taints the node comes into being."""
KUBECONFIG = "/etc/kubernetes/kubelet.conf"
BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
CA = "/etc/kubernetes/pki/ca.crt"
PKI = "/var/lib/kubelet/pki"
CLIENT_CERTIFICATE = f"{PKI}/kubelet-client-current.pem"

KUBELET_PORTS = (10250, 10248)
