"""What happens to bytes on the way: the trailer, encryption, sums. Nothing damaged gets through."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.backup.encryption import encryption
from kok.backup.encryption.encryption import (
    CHUNK,
    MAGIC,
    UNBOUND,
    Binding,
    Decryptor,
    Encryptor,
    Key,
)
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stream.checksum import Trailer
from kok.backup.stream.transfer import Download, Upload

KEY, OTHER = Key(b"k" * 32), Key(b"o" * 32)
MADE = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
WHOSE = Binding("team-a/shop-etcd", "team-a/shop-etcd/one.snapshot", MADE, 70)
TAG = 16
FIXED = 52
HEADER = FIXED + len(WHOSE.encoded())
PIECES = st.lists(st.binary(max_size=100), max_size=8)
SIZES = st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])


def snapshot(data: bytes) -> bytes:
    return data + hashlib.sha256(data).digest()


def sealed(data: bytes, key: Key = KEY) -> bytes:
    one = Encryptor(key, WHOSE)
    return one.feed(data) + one.finish()


def opened(data: bytes, *keys: Key) -> bytes:
    one = Decryptor(keys or (KEY,))
    return one.feed(data) + one.finish()


def fails(act: object) -> Reason:
    with pytest.raises(WorkerError) as raised:
        act()  # type: ignore[operator]
    return raised.value.reason


@given(PIECES)
def test_a_snapshot_is_whole_however_it_is_cut(pieces: list[bytes]) -> None:
    data = b"database" + b"".join(pieces)
    trailer = Trailer()

    for piece in [b"database", *pieces, hashlib.sha256(data).digest()]:
        trailer.feed(piece)

    assert trailer.whole()
    assert trailer.size == len(data) + 32


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_snapshot_with_one_bit_flipped_is_not_whole(data: bytes, draw: st.DataObject) -> None:
    whole = bytearray(snapshot(data))
    at = draw.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << draw.draw(st.integers(0, 7))
    trailer = Trailer()
    trailer.feed(bytes(whole))

    assert fails(lambda: trailer.check(len(data))) is Reason.SNAPSHOT_CORRUPT


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_snapshot_cut_short_is_incomplete(data: bytes, draw: st.DataObject) -> None:
    whole = snapshot(data)
    trailer = Trailer()
    trailer.feed(whole[: draw.draw(st.integers(0, len(whole) - 1))])

    assert fails(lambda: trailer.check(len(data))) is Reason.SNAPSHOT_INCOMPLETE


@pytest.mark.parametrize("data", [b"", hashlib.sha256(b"").digest()])
def test_nothing_is_no_snapshot(data: bytes) -> None:
    trailer = Trailer()
    trailer.feed(data)

    assert fails(trailer.check) is Reason.SNAPSHOT_INCOMPLETE


@given(SIZES, st.integers(1, CHUNK))
def test_what_was_encrypted_opens_again_however_it_is_cut(size: int, cut: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    one, other = Encryptor(KEY, WHOSE), Decryptor([OTHER, KEY])

    secret = b"".join(one.feed(data[i : i + cut]) for i in range(0, size, cut)) + one.finish()
    parts = [other.feed(secret[i : i + cut]) for i in range(0, len(secret), cut)]

    assert b"".join(parts) + other.finish() == data
    assert data[:64] not in secret or size < 16
    assert len(secret) == HEADER + size + TAG * max(1, -(-size // CHUNK))


def test_equal_data_does_not_look_equal() -> None:
    assert sealed(b"x" * 100) != sealed(b"x" * 100)


@given(st.data())
def test_one_bit_flipped_anywhere_does_not_open(draw: st.DataObject) -> None:
    secret = bytearray(sealed(b"x" * (CHUNK + 100)))
    at = draw.draw(st.one_of(st.integers(0, HEADER + 64), st.integers(0, len(secret) - 1)))
    secret[at] ^= 1 << draw.draw(st.integers(0, 7))

    assert fails(lambda: opened(bytes(secret))) in {Reason.OBJECT_ALTERED, Reason.KEY_MISSING}


@given(st.data())
def test_an_end_that_is_missing_is_noticed(draw: st.DataObject) -> None:
    secret = sealed(b"x" * (2 * CHUNK))
    chunks = HEADER + CHUNK + TAG
    cut = draw.draw(st.one_of(st.just(chunks), st.integers(0, len(secret) - 1)))

    assert fails(lambda: opened(secret[:cut])) is Reason.OBJECT_ALTERED


def test_chunks_cannot_be_exchanged_repeated_left_out_or_added() -> None:
    secret = sealed(b"x" * (3 * CHUNK))
    step = CHUNK + TAG
    head, a, b, c = (
        secret[:HEADER],
        *(secret[HEADER + i * step : HEADER + (i + 1) * step] for i in range(3)),
    )

    for wrong in (head + b + a + c, head + a + a + b + c, head + a + c, secret + c, secret + b"x"):
        assert fails(lambda wrong=wrong: opened(wrong)) is Reason.OBJECT_ALTERED


def test_chunks_of_another_object_do_not_fit() -> None:
    one, other = sealed(b"x" * 100), sealed(b"y" * 100)

    assert fails(lambda: opened(one[:HEADER] + other[HEADER:])) is Reason.OBJECT_ALTERED


def test_a_missing_key_is_named_by_its_id() -> None:
    with pytest.raises(WorkerError, match=KEY.id.hex()) as raised:
        opened(sealed(b"x"), OTHER)

    assert raised.value.reason is Reason.KEY_MISSING


@given(SIZES)
def test_the_size_of_what_is_sealed_is_known_before(size: int) -> None:
    assert Encryptor(KEY, WHOSE).size_of(size) == len(sealed(bytes(size)))


def test_keys_are_taken_raw_and_in_base64(tmp_path: Path) -> None:
    raw = bytes(range(32))
    (tmp_path / "raw").write_bytes(raw)
    (tmp_path / "text").write_bytes(base64.b64encode(raw) + b"\n")
    (tmp_path / "..data").mkdir()
    (tmp_path / "note").write_text("which is no key")

    one, other = encryption.read_keys(tmp_path)

    assert one.id == other.id == Key(raw).id
    assert encryption.read_keys(tmp_path / "none") == []


@pytest.mark.parametrize("raw", [b"", b"short", base64.b64encode(b"x" * 31), b"x" * 33])
def test_what_is_no_key_is_refused_without_showing_it(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "k1").write_bytes(raw)

    with pytest.raises(WorkerError, match="k1") as raised:
        encryption.read_key(tmp_path, "k1")

    assert raised.value.reason is Reason.CREDENTIALS_UNUSABLE
    assert not raw or raw.decode() not in raised.value.message


@given(PIECES, st.booleans())
def test_what_goes_out_comes_in(pieces: list[bytes], encrypt: bool) -> None:
    data = snapshot(b"".join([b"database", *pieces]))
    out = Upload(Encryptor(KEY, WHOSE) if encrypt else None)
    stored = out.feed(data[:5]) + out.feed(data[5:]) + out.finish(len(data) - 32)
    incoming = Download([KEY], WHOSE.key, encrypted=encrypt)

    back = incoming.feed(stored[:3]) + incoming.feed(stored[3:])
    back += incoming.finish("there", len(stored), out.sha256())

    assert back == data
    assert out.size_of(len(data) - 32) == len(stored) == out.stored_size
    assert out.sha256() == hashlib.sha256(stored).hexdigest()
    assert out.snapshot_size == incoming.snapshot_size == len(data)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda b: b[:-1], Reason.OBJECT_TRUNCATED),
        (lambda _: b"", Reason.OBJECT_TRUNCATED),
        (lambda b: b[:-1] + b"?", Reason.OBJECT_ALTERED),
        (lambda b: b + b"?", Reason.OBJECT_ALTERED),
    ],
)
def test_what_was_damaged_in_the_store_does_not_come_in(damage: object, reason: Reason) -> None:
    data = snapshot(b"database" * 100)
    wrong = damage(data)  # type: ignore[operator]
    incoming = Download([])
    incoming.feed(wrong)
    sha256 = hashlib.sha256(data).hexdigest()

    assert fails(lambda: incoming.finish("there", len(data), sha256)) is reason


def test_an_object_that_is_no_snapshot_does_not_come_in() -> None:
    data = b"something else, stored as it should be"
    incoming = Download([])
    incoming.feed(data)
    sha256 = hashlib.sha256(data).hexdigest()

    assert fails(lambda: incoming.finish("x", len(data), sha256)) is Reason.OBJECT_ALTERED


def unbound(data: bytes, salt: bytes = b"s" * 32) -> bytes:
    """What releases wrote before objects were bound to anything: one chunk."""
    header = UNBOUND + KEY.id + salt + CHUNK.to_bytes(4, "big")
    return header + KEY.for_object(header).encrypt(bytes(11) + b"\1", data, None)


def test_backups_of_earlier_releases_open() -> None:
    assert opened(unbound(b"data")) == b"data"
    data = snapshot(b"database")
    incoming = Download([KEY], "anywhere/else.snapshot", encrypted=True)
    stored = unbound(data)
    back = incoming.feed(stored) + incoming.finish("x", None, hashlib.sha256(stored).hexdigest())
    assert back == data
    assert incoming.whose is None


def test_a_backup_that_was_put_in_the_place_of_another_does_not_open() -> None:
    one = Decryptor([KEY], "team-a/shop-etcd/two.snapshot")
    with pytest.raises(WorkerError, match="was stored as team-a/shop-etcd/one") as raised:
        one.feed(sealed(b"x"))
    assert raised.value.reason is Reason.OBJECT_ALTERED


def test_what_a_backup_is_bound_to_cannot_be_changed() -> None:
    """Neither to a text of the same length nor to another one, nor by an earlier form."""
    secret, other = sealed(b"x" * 100), Binding("team-b/toys-etcd", "team-a/shop-etcd/two.snapshot")
    forged = secret[:FIXED] + other.encoded() + secret[HEADER:]
    stripped = UNBOUND + secret[len(MAGIC) : FIXED] + secret[HEADER:]
    for wrong in (forged, stripped):
        assert fails(lambda wrong=wrong: opened(wrong)) is Reason.OBJECT_ALTERED


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"[" * 60_000, b'{"cluster": "a/b"}', b"1"]
    + [
        b'{"cluster": "a/b", "key": "k", "created": %s, "revision": %s}' % said
        for said in [(b"1", b"1"), (b'"yesterday"', b"1"), (b"null", b"Infinity"), (b"null", b"[]")]
    ],
    ids=lambda text: text[:80],
)
def test_a_header_that_nobody_wrote_is_none(text: bytes) -> None:
    assert fails(lambda: Binding.parse(text)) is Reason.OBJECT_ALTERED


def test_a_backup_without_encryption_is_not_taken_for_an_encrypted_one() -> None:
    incoming = Download([KEY], encrypted=True)
    assert fails(lambda: incoming.feed(snapshot(b"database"))) is Reason.OBJECT_ALTERED


def test_all_of_an_opened_backup_tells_whose_it_is() -> None:
    stored = sealed(snapshot(b"database"))
    incoming = Download([KEY], WHOSE.key)
    incoming.feed(stored)
    incoming.finish("x", None, hashlib.sha256(stored).hexdigest())
    assert incoming.whose == WHOSE
