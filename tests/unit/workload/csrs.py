"""Requests for certificates as kubelets make them and API servers keep them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kok.api.meta import Manifest


def csr(
    node: str,
    *,
    hosts: Sequence[str] = (),
    addresses: Sequence[str] = (),
    asker: str | None = None,
    groups: Sequence[str] = ("system:nodes", "system:authenticated"),
    usages: Sequence[str] = ("digital signature", "server auth"),
    signer: str = "kubernetes.io/kubelet-serving",
    name: str | None = None,
) -> Manifest:
    """A node's CertificateSigningRequest, undecided."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
        ]
    )
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    names += [x509.IPAddress(ip_address(address)) for address in addresses]
    built = x509.CertificateSigningRequestBuilder().subject_name(subject)
    built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = built.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name or f"csr-{node}"},
        "spec": {
            "signerName": signer,
            "username": asker or f"system:node:{node}",
            "groups": list(groups),
            "usages": list(usages),
            "request": base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode(),
        },
    }


def node(name: str, *addresses: str) -> Manifest:
    """A Node that tells these names and addresses of itself."""
    told = [
        {"type": "InternalIP" if one[0].isdigit() else "Hostname", "address": one}
        for one in addresses
    ]
    return {"metadata": {"name": name}, "status": {"addresses": told}}
