"""A tenant's host asks for certificates by which it could stand in the place of others."""

from __future__ import annotations

import base64
import ipaddress
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e2e.framework.environment import PATIENCE, Environment
from e2e.framework.follow import condition
from e2e.hostile import LONG, MACHINE, NAMESPACE, SHOP, WORKER
from kok.api import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import by_certificate
from kok.workload.csr import NODES, SERVING, by_node

KUBELET = "/var/lib/kubelet/pki/kubelet-client-current.pem"
"""Certificate and key by which a node is known."""
NAME = "lying"


async def lying_names(w: Environment) -> None:
    """Requests with the node's own identity, for addresses that are the API's or somebody else's."""
    identity = (await w.lab.exec(WORKER, "cat", KUBELET)).encode()
    async with await w.business(NAMESPACE, SHOP) as admin:
        wanted = await _wanted(w, admin)
        access = by_certificate(admin.server, admin.access.ca or b"", identity, identity)
        async with Kube(access, field_manager="kubelet", timeout=PATIENCE) as node:
            for what, address in wanted.items():
                with w.report.step(f"a host gets no certificate for {what}"):
                    await node.create(_request(address))
                    await _refused(w, admin, address)
                    await admin.delete(kinds.CSR, NAME)


async def _wanted(w: Environment, admin: Kube) -> dict[str, str]:
    service = await admin.get(kinds.SERVICE, "kubernetes", "default") or {}
    api = ipaddress.ip_address(service["spec"]["clusterIP"])
    return {
        "the endpoint of the API": urlsplit(admin.server).hostname or "",
        "the Service of the API": str(api),
        "an address of any Service": str(api + 77),
        "a node of the meta cluster": str(w.lab.host("meta-1").address),
    }


async def _refused(w: Environment, admin: Kube, address: str) -> None:
    """The Machine says which request is not approved and why, and nobody approved it."""

    def told(machine: Manifest) -> bool:
        found = condition(machine, "CertificatesApproved")
        said = str(found.get("message", ""))
        refused = found.get("status") == "False" and found.get("reason") == "CertificateRefused"
        return refused and f"{NAME} of Node {WORKER} is not approved" in said and address in said

    await w.until(Machine.info.kind, NAMESPACE, MACHINE, told, LONG)
    request = await admin.get(kinds.CSR, NAME) or {}
    if request.get("status"):
        raise AssertionError(f"{address} was decided: {request['status']}")


def _request(address: str) -> Manifest:
    """What the kubelet asks for, with one address more than it has."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES),
            x509.NameAttribute(NameOID.COMMON_NAME, by_node(WORKER)),
        ]
    )
    names = x509.SubjectAlternativeName(
        [x509.DNSName(WORKER), x509.IPAddress(ipaddress.ip_address(address))]
    )
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(names, critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    pem = asked.public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": kinds.CSR.api_version,
        "kind": kinds.CSR.kind,
        "metadata": {"name": NAME},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": SERVING,
            "usages": ["digital signature", "server auth"],
        },
    }
