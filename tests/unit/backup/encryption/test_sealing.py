"""Keys that are kept in etcd open for whom they are sealed to, and for nobody else."""

from __future__ import annotations

import base64
import json
import re

import pytest

from kok.backup.encryption import sealing
from kok.backup.encryption.encryption import Key
from kok.backup.encryption.sealing import SealError
from kok.etcdclient.client import MOST_VALUE

CONTENT = {"ca": {"tls.crt": b"cert", "tls.key": b"\0secret\xff"}, "sa": {"sa.key": b"rsa"}}
KEY, OTHER = Key(b"k" * 32), Key(b"o" * 32)


def test_what_is_sealed_to_a_backup_key_opens_by_it() -> None:
    sealed = sealing.seal(CONTENT, KEY)
    assert b"secret" not in sealed
    assert sealing.unseal(sealed, [OTHER, KEY]) == CONTENT
    assert sealing.try_open(sealed, [KEY]).names == ["ca", "sa"]


def test_what_is_sealed_to_a_recipient_opens_by_the_private_key_alone() -> None:
    private, public = sealing.key_pair()
    sealed = sealing.seal(CONTENT, public)
    assert sealing.unseal(sealed, [KEY], private) == CONTENT
    assert sealing.try_open(sealed, [KEY]) == sealing.Opened()
    told = f"public key {public}, whose private key is not given"
    with pytest.raises(SealError, match=re.escape(told)):
        sealing.unseal(sealed, [KEY])
    with pytest.raises(SealError, match="that is given belongs to"):
        sealing.unseal(sealed, [], sealing.key_pair()[0])


def test_what_is_kept_already_is_known() -> None:
    other = {**CONTENT, "sa": {"sa.key": b"another"}}
    sealed = sealing.seal(CONTENT, KEY)
    assert sealing.holds(sealed, CONTENT, KEY)
    assert not sealing.holds(sealed, other, KEY)
    assert not sealing.holds(sealed, CONTENT, OTHER)
    assert not sealing.holds(sealed, CONTENT, sealing.key_pair()[1])
    assert not sealing.holds(b"{}", CONTENT, KEY)


@pytest.mark.parametrize("to", [KEY, sealing.key_pair()[1]], ids=["backup key", "recipient"])
def test_nothing_beside_the_box_tells_what_is_in_it(to: Key | str) -> None:
    """A password that somebody guesses cannot be tried: equal content leaves nothing equal."""
    one, two = (json.loads(sealing.seal(CONTENT, to)) for _ in range(2))
    same = {field for field in one if one[field] == two[field]}
    assert same == {"format", "to", "keyID", "names"} | {f for f in one if one[f] is None}


def test_what_an_earlier_release_sealed_opens() -> None:
    """It had no hash beside it."""
    sealed = (
        b'{"format":1,"to":"key","keyID":"3b9fdf86ab23dcf9","names":["ca"],'
        b'"salt":"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=",'
        b'"box":"R6uBUBn7uRPcNAMT+o4b716CZkkpTYFpjqzbyM7SW70ekF3ISpmJdszgdw=="}'
    )
    assert sealing.unseal(sealed, [KEY]) == {"ca": {"tls.key": b"one"}}


def test_as_much_as_may_be_sealed_is_also_read_back() -> None:
    most = {"ca": {"tls.key": b"x" * (sealing.LIMIT * 3 // 4 - 100)}}
    assert len(sealing.canonical(most)) > sealing.LIMIT * 0.99
    sent = base64.b64encode(sealing.seal(most, KEY))  # As etcd's gateway does.
    assert len(sent) < MOST_VALUE - 1024


def test_another_key_is_named_by_what_is_missing() -> None:
    sealed = sealing.seal(CONTENT, KEY)
    with pytest.raises(
        SealError, match=f"the backup key with ID {re.escape(KEY.id.hex())}, which is not"
    ):
        sealing.unseal(sealed, [OTHER])
    assert KEY.id.hex() in (sealing.try_open(sealed, [OTHER]).problem or "")


@pytest.mark.parametrize("field", ["box", "salt", "names", "keyID"])
def test_nothing_of_it_can_be_altered(field: str) -> None:
    private, public = sealing.key_pair()
    document = json.loads(sealing.seal(CONTENT, public))
    other = json.loads(sealing.seal(CONTENT, sealing.key_pair()[1]))
    document[field] = ["other"] if field == "names" else other[field]
    with pytest.raises(SealError):
        sealing.unseal(json.dumps(document).encode(), [], private)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\xff" * 100, b"[" * 100_000])
def test_what_is_nothing_of_the_sort_is_told(junk: bytes) -> None:
    with pytest.raises(SealError, match="cannot be read"):
        sealing.unseal(junk, [KEY])


def test_the_same_content_has_the_same_digest_and_is_sealed_anew_each_time() -> None:
    assert sealing.canonical(CONTENT) == sealing.canonical(dict(reversed(CONTENT.items())))
    assert sealing.seal(CONTENT, KEY) != sealing.seal(CONTENT, KEY)


def test_too_much_is_refused() -> None:
    with pytest.raises(SealError, match="are the most"):
        sealing.seal({"big": {"one": bytes(sealing.LIMIT)}}, KEY)
