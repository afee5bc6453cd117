"""Keys of a Cluster that begins with a backup: none is made, whatever the Secrets hold."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.integration.operators.cluster.conftest import Workspace, condition
from tests.integration.operators.cluster.standin import ETCD

from kok import pki
from kok.kube import kinds
from kok.runtime.process.main import Process

SOURCE = {"store": {"volume": {"claim": "backups"}}, "newestOf": "old/shop-etcd"}


async def test_a_key_under_another_name_is_asked_for_and_no_other_is_made(
    workspace: Workspace, cluster_operator: Process
) -> None:
    now = datetime.now(UTC)
    ca, front = pki.new_ca("shop-ca", now), pki.new_ca("shop-front", now)
    for name, data in {
        "shop-ca": pki.encode({"tls.crt": ca.cert_pem, "tls.key": ca.key_pem}),
        "shop-front-proxy-ca": pki.encode({"tls.crt": front.cert_pem, "tls.key": front.key_pem}),
        "shop-sa": pki.encode({"sa.key": pki.service_account_keys().private_pem}),
        "shop-encryption": pki.encode({"key": b"k" * 32}),
    }.items():
        metadata = {"name": name, "namespace": workspace.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        await workspace.kube.create(secret)
    await workspace.make(etcd={"restoreFrom": SOURCE})
    waiting = await workspace.until_reason("KeysMissing")
    said = condition(waiting)["message"]
    assert f"Secret {workspace.namespace}/shop-encryption has no entry key1 (it has key)" in said
    assert not waiting["status"].get("caFingerprints")
    assert await workspace.get(kinds.SECRET, "shop-apiserver-keys") is None
    assert (await workspace.there(kinds.SECRET, "shop-encryption"))["data"].keys() == {"key"}
    # The operator looks again although the Secret bears no label of its own.
    right = pki.encode({"key1": b"k" * 32})
    await workspace.patch({"data": right}, "shop-encryption", kinds.SECRET)
    going = await workspace.until_reason("AsWanted", type_="CertificatesReady")
    assert len(going["status"]["caFingerprints"]) == 4
    stored = await workspace.there(kinds.SECRET, "shop-apiserver-keys")
    config = pki.decode(stored, "encryption.json") or b""
    assert right["key1"].encode() in config


async def test_keys_that_somebody_else_put_in_the_place_of_the_backups_are_not_taken(
    workspace: Workspace, cluster_operator: Process
) -> None:
    """It names the EtcdCluster as its controller, as anybody can who knows how that is called."""
    owner = {"apiVersion": ETCD.api_version, "kind": ETCD.kind, "name": "shop-etcd", "uid": "1"}
    ca, pair = pki.new_ca("planted", datetime.now(UTC)), pki.service_account_keys()
    planted = pki.encode(
        {
            "ca.tls.crt": ca.cert_pem,
            "ca.tls.key": ca.key_pem,
            "front-proxy-ca.tls.crt": ca.cert_pem,
            "front-proxy-ca.tls.key": ca.key_pem,
            "sa.sa.key": pair.private_pem,
            "encryption.key1": b"k" * 32,
        }
    )
    await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "shop-etcd-keys",
                "namespace": workspace.namespace,
                "ownerReferences": [{**owner, "controller": True}],
            },
            "data": planted,
        }
    )
    await workspace.make(etcd={"restoreFrom": SOURCE})
    waiting = await workspace.until_reason("WaitingForKeys")
    assert not waiting["status"].get("caFingerprints")
    # The EtcdCluster was not there yet; now it is, and made none of it.
    await workspace.until(lambda m: m, "shop-etcd", ETCD)
    await workspace.patch({"metadata": {"annotations": {"example.com/again": "1"}}})
    await workspace.until(lambda m: condition(m).get("reason") == "WaitingForKeys")
    assert await workspace.get(kinds.SECRET, "shop-ca") is None
