"""Certificates and their CA: who may speak with whom, and what happens when Secrets change."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from cryptography import x509
from e2e.polling import eventually
from tests.integration.operators.etcd.conftest import (
    ETCD,
    LIMIT,
    Tune,
    World,
    condition,
    now,
    status,
)
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_CA
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Credentials, EtcdError, Trouble
from kok.kube import kinds
from kok.kube.http.access import Access, ssl_context
from kok.operators.etcd.naming import CLIENT_PORT, PEER_PORT, pod_endpoint
from kok.operators.etcd.pods import is_ready
from kok.pki import (
    CertificateAuthority,
    LeafSpec,
    Usage,
    ca_of,
    ca_secret_data,
    decode,
    fingerprint,
    issue,
    new_ca,
)
from kok.runtime.process.main import Process


def _context(credentials: Credentials) -> ssl.SSLContext:
    return ssl_context(Access("etcd", credentials.ca, credentials.certificate, credentials.key))


async def _served(credentials: Credentials, address: str) -> int:
    """Serial number of the certificate that a member shows to a new client."""
    _, writer = await asyncio.open_connection(
        address, CLIENT_PORT, ssl=_context(credentials), server_hostname=credentials.server_name
    )
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number
    finally:
        writer.close()


async def _stored(world: World, name: str) -> int:
    pem = decode(await world.there(kinds.SECRET, name), "tls.crt")
    assert pem is not None
    return x509.load_pem_x509_certificate(pem).serial_number


def _restarts(pod: Manifest) -> int:
    return sum(c["restartCount"] for c in pod["status"]["containerStatuses"])


async def test_a_renewed_certificate_is_served_without_a_restart(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    etcd = await world.until_ready()
    before = await _stored(world, "e-server")
    first = {c["name"]: c["notAfter"] for c in etcd["status"]["certificates"]}

    # A shorter life counts at once, so all certificates are issued anew.
    short = {"spec": {"tls": {"leafDuration": "100h", "renewBefore": "10h"}}}
    await world.kube.patch(ETCD, "e", world.namespace, short)

    await world.until(
        lambda m: all(
            c["notAfter"] != first[c["name"]]
            for c in status(m).get("certificates", ())
            if c["name"] != "e-ca"
        )
    )
    after = await _stored(world, "e-server")
    assert after != before
    credentials = await world.credentials()
    for address in map(standin.address, ("e-0", "e-1", "e-2")):

        async def is_new() -> bool:
            return await _served(credentials, address) == after  # noqa: B023 - waited for below

        await eventually(is_new, LIMIT)
    # Members that start now meet others that hold the certificates of before in memory.
    standin.kill("e-1")
    await world.until(lambda m: m and _restarts(m) and is_ready(m), "e-1-0", kinds.POD)
    await world.until_ready()
    for name in ("e-0", "e-2"):
        assert _restarts(await world.there(kinds.POD, f"{name}-0")) == 0


async def test_clients_need_a_certificate_and_cannot_pass_for_peers(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    address = standin.address("e-0")
    good = await world.credentials()
    other = new_ca("other", now())
    leaf = issue(other, LeafSpec("etcd-client", usages=Usage.CLIENT), now())
    stranger = Credentials(good.ca, leaf.cert_pem, leaf.key_pem, good.server_name)

    with pytest.raises(EtcdError):
        async with EtcdClient(stranger, deadline=LIMIT) as client:
            await client.status(pod_endpoint(address))
    with pytest.raises(EtcdError) as untrusted:
        async with EtcdClient(
            Credentials(other.cert_pem, good.certificate, good.key, good.server_name),
            deadline=LIMIT,
        ) as client:
            await client.status(pod_endpoint(address))
    assert untrusted.value.trouble is Trouble.UNTRUSTED
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await _call_as_peer(good, address)


async def _call_as_peer(credentials: Credentials, address: str) -> None:
    context = _context(credentials)
    context.check_hostname = False
    reader, writer = await asyncio.open_connection(address, PEER_PORT, ssl=context)
    try:
        writer.write(b"GET /members HTTP/1.1\r\nHost: e\r\n\r\n")
        await writer.drain()
        await reader.readexactly(1)
    finally:
        writer.close()


async def test_a_deleted_ca_is_never_made_anew_and_heals_when_put_back(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    # A Secret put back without our labels is seen only at the next look.
    tune(look_troubled=0.5)
    await world.make()
    await world.until_ready()
    ca = await world.there(kinds.SECRET, "e-ca")

    await world.kube.delete(kinds.SECRET, "e-ca", world.namespace)
    await world.kube.delete(kinds.SECRET, "e-server", world.namespace)

    told = await world.until_ready(
        reason="CAMissing",
        says=["put back the CA with fingerprint sha256:", ANNOTATION_TRUST_CA],
    )
    assert condition(told, "Available")["status"] == "True"
    assert await world.get(kinds.SECRET, "e-ca") is None
    assert await world.get(kinds.SECRET, "e-server") is None
    keep = {key: ca[key] for key in ("apiVersion", "kind", "type", "data")}
    place = {"name": "e-ca", "namespace": world.namespace}
    await world.kube.create({**keep, "metadata": place})
    await world.until_ready()
    again = await world.there(kinds.SECRET, "e-ca")
    assert again["metadata"]["ownerReferences"][0]["name"] == "e"
    assert await world.get(kinds.SECRET, "e-server") is not None


async def test_a_ca_edited_by_hand_is_refused_until_it_is_put_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    before = await _stored(world, "e-server")
    original = (await world.there(kinds.SECRET, "e-ca"))["data"]
    foreign = ca_secret_data(new_ca("foreign", now()))

    await world.kube.patch(kinds.SECRET, "e-ca", world.namespace, {"data": foreign})

    told = await world.until_ready(reason="CAChanged")
    assert condition(told, "CertificatesReady")["status"] == "False"
    assert condition(told, "Available")["status"] == "True"
    assert await _stored(world, "e-server") == before
    await world.kube.patch(kinds.SECRET, "e-ca", world.namespace, {"data": original})
    await world.until_ready()
    assert await _stored(world, "e-server") == before


async def test_another_ca_is_taken_once_the_user_trusts_it(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    first = await world.until_ready()
    foreign = new_ca("foreign", now())
    await world.kube.patch(kinds.SECRET, "e-ca", world.namespace, {"data": ca_secret_data(foreign)})
    await world.until_ready(reason="CAChanged")
    pods = {n: (await world.there(kinds.POD, f"{n}-0"))["metadata"]["uid"] for n in ("e-0", "e-1")}

    await world.annotate(ANNOTATION_TRUST_CA, fingerprint(foreign.cert_pem))

    for name, uid in pods.items():
        await world.until(
            lambda m, uid=uid: m and m["metadata"]["uid"] != uid, f"{name}-0", kinds.POD
        )
    second = await world.until_ready()
    assert second["status"]["caFingerprint"] == fingerprint(foreign.cert_pem)
    assert second["status"]["clusterID"] == first["status"]["clusterID"]
    assert (await world.credentials()).ca == foreign.cert_pem


async def test_what_is_smuggled_into_the_ca_bundle_is_not_trusted(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    secret = await world.there(kinds.SECRET, "e-ca")
    ca = ca_of(secret)
    assert ca is not None
    evil = new_ca("evil", now())
    both = CertificateAuthority(ca.cert_pem, ca.key_pem, evil.cert_pem)

    await world.kube.patch(kinds.SECRET, "e-ca", world.namespace, {"data": ca_secret_data(both)})

    original = secret["data"]["ca.crt"]
    await world.until(lambda m: m and m["data"]["ca.crt"] == original, "e-ca", kinds.SECRET)
    server = await world.there(kinds.SECRET, "e-server")
    assert decode(server, "ca.crt") == ca.cert_pem
