"""Keys that nothing can replace: made once, refused when they are not the same any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.unit.operators.cluster.builders import NOW, a_cluster, applied, quick_pair
from tests.unit.pki.chains import chain

from kok import pki
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_CA
from kok.operators.cluster.cluster.pki.credentials import OPAQUE, secret
from kok.operators.cluster.cluster.pki.keys import KeyRing, Keys

TYPES = {"shop-ca": pki.TLS_SECRET_TYPE, "shop-front-proxy-ca": pki.TLS_SECRET_TYPE}


async def settle(
    secrets: dict[str, Manifest] | None = None,
    latched: dict[str, str] | None = None,
    **annotations: str,
) -> Keys:
    cluster = a_cluster(status={"caFingerprints": latched or {}}, annotations=annotations)
    return await KeyRing(cluster, secrets or {}, NOW, quick_pair).settle()


def stored(keys: Keys) -> dict[str, Manifest]:
    """The Secrets that a pass would have written."""
    made = [secret(name, TYPES.get(name, OPAQUE), data) for name, data in keys.data.items()]
    return applied(a_cluster(), made)


@dataclass(frozen=True)
class InUse:
    """Keys that were made and recorded, and the Secrets that hold them."""

    keys: Keys
    secrets: dict[str, Manifest]

    async def again(
        self, *gone: str, put: dict[str, Manifest] | None = None, **annotations: str
    ) -> Keys:
        """What a later pass makes of them, without those that are gone and with what was put in."""
        left = {name: live for name, live in self.secrets.items() if name not in gone}
        return await settle({**left, **(put or {})}, dict(self.keys.fingerprints), **annotations)


async def in_use() -> InUse:
    keys = await settle()
    return InUse(keys, stored(keys))


async def test_all_keys_are_made_the_first_time() -> None:
    keys = await settle()
    assert keys.problems == ()
    assert set(keys.fingerprints) == {
        "shop-ca",
        "shop-front-proxy-ca",
        "shop-sa",
        "shop-encryption",
    }
    assert keys.encryption is not None
    assert len(keys.encryption) == 32


async def test_an_operator_that_died_before_recording_them_uses_what_it_made() -> None:
    made = await settle()
    again = await settle(stored(made))
    assert again.fingerprints == made.fingerprints
    assert again.data == made.data


async def test_nothing_changes_when_nothing_changed() -> None:
    made = await in_use()
    assert await made.again() == made.keys


async def test_a_deleted_ca_is_not_made_anew() -> None:
    made = await in_use()
    keys = await made.again("shop-ca")
    assert keys.ca is None
    assert "shop-ca" not in keys.data
    [problem] = keys.problems
    assert problem.reason == "CAMissing"
    assert made.keys.fingerprints["shop-ca"] in problem.message
    assert keys.front_proxy is not None


async def test_a_deleted_ca_may_be_taken_back_from_the_controller_managers_copy() -> None:
    made = await in_use()
    assert made.keys.ca is not None
    copy = pki.encode({"ca.crt": made.keys.ca.cert_pem, "ca.key": made.keys.ca.key_pem})
    name = "shop-controller-manager"
    keys = await made.again("shop-ca", put={name: secret(name, OPAQUE, copy)})
    assert "Secret team-a/shop-controller-manager still has it" in keys.problems[0].message


async def test_an_exchanged_ca_is_refused_until_it_is_trusted() -> None:
    made, other = await in_use(), await in_use()
    exchanged = {"shop-ca": other.secrets["shop-ca"]}
    keys = await made.again(put=exchanged)
    assert keys.ca is None
    [problem] = keys.problems
    assert problem.reason == "CAChanged"
    new = other.keys.fingerprints["shop-ca"]
    assert f"{ANNOTATION_TRUST_CA}={new}" in problem.message

    trusting = await made.again(put=exchanged, **{ANNOTATION_TRUST_CA: new})
    assert trusting.problems == ()
    assert trusting.fingerprints["shop-ca"] == new
    assert trusting.trusted == ("shop-ca",)


async def test_trust_in_one_ca_is_no_trust_in_another() -> None:
    made, other, third = await in_use(), await in_use(), await settle()
    trust = {ANNOTATION_TRUST_CA: third.fingerprints["shop-ca"]}
    keys = await made.again(put={"shop-ca": other.secrets["shop-ca"]}, **trust)
    assert keys.problems[0].reason == "CAChanged"


async def test_a_certificate_smuggled_in_behind_the_ca_is_not_handed_on() -> None:
    made = await in_use()
    assert made.keys.ca is not None
    both = made.keys.ca.cert_pem + pki.new_ca("stranger", NOW).cert_pem
    edited = {**made.keys.data["shop-ca"], **pki.encode({"tls.crt": both, "ca.crt": both})}
    keys = await made.again(put={"shop-ca": secret("shop-ca", pki.TLS_SECRET_TYPE, edited)})
    assert keys.ca is not None
    assert keys.ca.trust_pem == made.keys.ca.trust_pem
    assert keys.data["shop-ca"] == made.keys.data["shop-ca"]


async def test_a_mended_ca_is_used_again() -> None:
    made, other = await in_use(), await in_use()
    broken = await made.again(put={"shop-ca": other.secrets["shop-ca"]})
    assert broken.ca is None
    assert (await made.again()).ca == made.keys.ca


async def test_lost_and_changed_keys_are_named() -> None:
    made, other = await in_use(), await in_use()
    keys = await made.again("shop-encryption", put={"shop-sa": other.secrets["shop-sa"]})
    assert keys.service_account is None
    assert keys.encryption is None
    assert {p.secret: p.reason for p in keys.problems} == {
        "shop-sa": "KeyChanged",
        "shop-encryption": "KeyMissing",
    }


async def test_nobody_goes_over_to_another_encryption_key() -> None:
    """The Secrets in etcd would be lost: it is put back, and no annotation says otherwise."""
    made, other = await in_use(), await in_use()
    name = "shop-encryption"
    latched = made.keys.fingerprints
    for trust in ({}, {ANNOTATION_TRUST_CA: other.keys.fingerprints[name]}):
        keys = await made.again(put={name: other.secrets[name]}, **trust)
        assert keys.encryption is None
        assert keys.trusted == ()
        [problem] = keys.problems
        assert problem.reason == "KeyChanged"
        assert f"put back the key with fingerprint {latched[name]} as key1" in problem.message
        assert ANNOTATION_TRUST_CA not in problem.message


async def test_one_goes_over_to_other_service_account_keys() -> None:
    made, other = await in_use(), await in_use()
    trust = {ANNOTATION_TRUST_CA: other.keys.fingerprints["shop-sa"]}
    keys = await made.again(put={"shop-sa": other.secrets["shop-sa"]}, **trust)
    assert keys.trusted == ("shop-sa",)
    assert keys.service_account == other.keys.service_account


async def test_a_key_that_is_no_key_is_refused() -> None:
    made = await settle()
    secrets = stored(made)
    secrets["shop-sa"] = secret("shop-sa", OPAQUE, pki.encode({"sa.key": b"rubbish"}))
    secrets["shop-encryption"] = secret("shop-encryption", OPAQUE, pki.encode({"key1": b"short"}))
    keys = await settle(secrets)
    assert {p.reason for p in keys.problems} == {"KeyUnreadable"}
    assert not any("rubbish" in p.message for p in keys.problems)


async def test_a_lost_public_half_comes_back_from_the_private_one() -> None:
    made = await in_use()
    assert made.keys.service_account is not None
    only = pki.encode({"sa.key": made.keys.service_account.private_pem})
    keys = await made.again(put={"shop-sa": secret("shop-sa", OPAQUE, only)})
    assert keys.data["shop-sa"] == made.keys.data["shop-sa"]


async def test_an_expired_ca_is_said_to_be_so() -> None:
    old = pki.new_ca("shop-ca", NOW - timedelta(days=4000))
    live = secret("shop-ca", pki.TLS_SECRET_TYPE, pki.ca_secret_data(old))
    keys = await settle({"shop-ca": live}, {"shop-ca": pki.fingerprint(old.cert_pem)})
    assert keys.problems[0].reason == "CAExpired"


async def test_no_key_shows_in_a_representation() -> None:
    keys = await settle()
    assert "PRIVATE" not in repr(keys)
    assert repr(keys.encryption) not in repr(keys)


def written_by(manager: str, *entries: str) -> list[dict[str, object]]:
    """What the API server records of who wrote which entries of a Secret."""
    fields = {"f:data": {f"f:{entry}": {} for entry in entries}}
    return [{"manager": manager, "operation": "Update", "fieldsV1": fields}]


async def test_an_intermediate_ca_brings_its_issuers_and_stays_its_authors() -> None:
    root, signer = chain("root", "signer", now=NOW)
    data = pki.encode({"tls.crt": signer.cert_pem + root.cert_pem, "tls.key": signer.key_pem})
    brought = secret("shop-ca", pki.TLS_SECRET_TYPE, data)
    brought["metadata"]["managedFields"] = written_by("kubectl-create", "tls.crt", "tls.key")
    keys = await settle({"shop-ca": brought})
    assert keys.problems == ()
    assert keys.ca is not None
    assert (keys.ca.trust_pem, keys.ca.chain) == (signer.cert_pem, root.cert_pem)
    assert keys.brought == {"shop-ca"}
    assert keys.fingerprints["shop-ca"] == pki.fingerprint(signer.cert_pem)


async def test_what_an_earlier_version_took_for_its_own_is_told_by_who_wrote_it() -> None:
    made = await in_use()
    secrets = made.secrets
    for name, entries in (("shop-ca", ["tls.crt", "tls.key"]), ("shop-encryption", ["key1"])):
        secrets[name]["metadata"]["managedFields"] = [
            *written_by("kubectl-client-side-apply", *entries),
            *written_by("kok-cluster", *entries),
        ]
    secrets["shop-sa"]["metadata"]["managedFields"] = written_by("kok-cluster", "sa.key")
    keys = await made.again()
    assert keys.brought == {"shop-ca", "shop-encryption"}


async def test_keys_that_were_retained_or_lost_their_labels_are_still_ours() -> None:
    made = await in_use()
    secrets = made.secrets
    for name, entry in (("shop-ca", "tls.key"), ("shop-sa", "sa.key")):
        del secrets[name]["metadata"]["ownerReferences"]
        secrets[name]["metadata"]["managedFields"] = written_by("kok-cluster", entry)
    keys = await made.again()
    assert keys.brought == frozenset()


@pytest.mark.parametrize(
    ("name", "entries", "reason"),
    [
        ("shop-ca", [], "CAMissing"),
        ("shop-front-proxy-ca", ["ca.crt"], "CAMissing"),
        ("shop-sa", ["tls.key"], "KeyMissing"),
        ("shop-encryption", ["key"], "KeyMissing"),
    ],
)
async def test_a_brought_secret_without_its_entry_is_named_and_nothing_is_made(
    name: str, entries: list[str], reason: str
) -> None:
    """What is made in its stead would be used, recorded, and stored nowhere."""
    brought = secret(name, OPAQUE, pki.encode(dict.fromkeys(entries, b"something")))
    brought["metadata"] |= {"uid": "1", "managedFields": written_by("kubectl-create", *entries)}
    keys = await settle({name: brought})
    [problem] = keys.problems
    assert (problem.secret, problem.reason) == (name, reason)
    assert f"(entries: {', '.join(entries) or 'none'}); add what is missing" in problem.message
    assert name not in keys.fingerprints
    assert name not in keys.data
    assert len(keys.fingerprints) == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shop-ca", "CAMissing"),
        ("shop-front-proxy-ca", "CAMissing"),
        ("shop-sa", "KeyMissing"),
        ("shop-encryption", "KeyMissing"),
    ],
)
async def test_nor_is_one_made_where_an_empty_secret_names_the_cluster_as_its_owner(
    name: str, reason: str
) -> None:
    """It may be immutable, or of another type: what is made for it could not be stored."""
    live = applied(a_cluster(), [secret(name, OPAQUE, {})])[name]
    live["metadata"]["uid"] = "1"
    keys = await settle({name: live})
    [problem] = keys.problems
    assert (problem.secret, problem.reason) == (name, reason)
    assert f"Secret team-a/{name} is there, and does not hold" in problem.message
    assert name not in keys.fingerprints
    assert name not in keys.data
