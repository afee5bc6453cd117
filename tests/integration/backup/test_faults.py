"""Everything that can go wrong on the way: told by its reason, and nothing damaged is left."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from e2e.faults.s3proxy import (
    Cut,
    ErrorInside,
    Fault,
    Flip,
    Hang,
    Proxy,
    Refuse,
    Slow,
    SwallowHalf,
    Truncate,
)
from e2e.lab.services.s3 import S3
from tests.integration.apiserver import free_ports
from tests.integration.backup.conftest import KEY, STALL, WHOLE, Desk
from tests.integration.backup.servers import HOST, Etcd, line

from kok.backup import spec
from kok.backup.commands import catalog
from kok.backup.commands.member import Member
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.s3 import http, multipart

PART, COMPLETE, OBJECT = (
    {"method": "PUT", "containing": "partNumber"},
    {"method": "POST", "containing": "uploadId"},
    {"method": "GET", "containing": KEY},
)


@contextmanager
def befallen(
    proxy: Proxy, fault: Fault, where: dict[str, Any], times: int | None = None
) -> Iterator[None]:
    """What is to befall parts needs a server that takes no large requests."""
    with ExitStack() as stack:
        if where in (PART, COMPLETE):
            stack.enter_context(proxy.fault(Refuse(413), **WHOLE))
        stack.enter_context(proxy.fault(fault, **where, times=times))
        yield


@pytest.mark.parametrize(
    ("fault", "where", "reason"),
    [
        (Refuse(403), {}, Reason.STORE_DENIED),
        (Refuse(403), WHOLE, Reason.STORE_DENIED),
        (Refuse(403), PART, Reason.STORE_DENIED),
        (Refuse(503), {"method": "PUT"}, Reason.STORE_BUSY),
        (Refuse(503), PART, Reason.STORE_BUSY),
        (Refuse(500), COMPLETE, Reason.STORE_BUSY),
        (ErrorInside(), {"method": "PUT"}, Reason.STORE_BUSY),
        (ErrorInside(), PART, Reason.STORE_BUSY),
        (ErrorInside(), COMPLETE, Reason.STORE_BUSY),
        (Hang(), {"method": "PUT"}, Reason.STORE_SILENT),
        (Hang(), PART, Reason.STORE_SILENT),
        (Slow(256 * 1024), PART, Reason.STORE_SILENT),
        (Truncate(quietly=True), OBJECT, Reason.OBJECT_TRUNCATED),
        (Flip(), OBJECT, Reason.OBJECT_ALTERED),
    ],
)
async def test_a_store_that_fails_for_good_ends_the_backup_and_keeps_nothing(
    desk: Desk,
    plain: Etcd,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    where: dict[str, Any],
    reason: Reason,
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint))
    if reason is Reason.STORE_SILENT:
        # What is not silent has to answer in that time, too, however busy the machine is.
        given["limits"]["stall"] = 5
        monkeypatch.setattr(http, "TRIES", 1)

    with befallen(proxy, fault, where):
        report = await desk.run("backup", given)

    assert proxy.hits
    assert report.failure is not None
    assert report.failure.reason is reason
    assert proxy.endpoint in report.failure.message or desk.bucket in report.failure.message
    assert desk.s3.secret_key not in report.text()
    assert await desk.nothing_stored()


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Refuse(413), WHOLE),
        (Refuse(503), WHOLE),
        (ErrorInside(), WHOLE),
        (Cut(), WHOLE),
        (Refuse(503), PART),
        (Refuse(500), COMPLETE),
        (Refuse(503), {"method": "GET", "containing": "uploads"}),
        (Refuse(503), OBJECT),
        (ErrorInside(), PART),
        (ErrorInside(), COMPLETE),
        (Truncate(), OBJECT),
    ],
)
async def test_a_store_that_fails_for_a_moment_does_not_end_the_backup(
    desk: Desk, plain: Etcd, proxy: Proxy, fault: Fault, where: dict[str, Any]
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint))

    with befallen(proxy, fault, where, times=2):
        result = await desk.stored(given)

    assert proxy.hits
    assert desk.s3.objects(desk.bucket)[desk.object] == result.description.size
    assert await desk.nothing_unfinished()


async def test_a_store_that_stands_still_gets_it_in_parts(
    desk: Desk, plain: Etcd, proxy: Proxy
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint), limits={"deadline": 120, "stall": 5})

    with proxy.fault(Hang(), **WHOLE):
        result = await desk.stored(given)

    assert proxy.hits == 1
    assert desk.s3.objects(desk.bucket)[desk.object] == result.description.size


async def test_a_store_that_is_too_slow_is_not_waited_for(
    desk: Desk, plain: Etcd, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TRIES", 1)
    given = desk.backup(plain, desk.store(proxy.endpoint), limits={"deadline": 120, "stall": 5})

    with proxy.fault(Slow(256 * 1024), method="PUT"):
        reason, message = await desk.fails("backup", given)

    assert proxy.hits > 1  # in one request, and then in parts
    assert reason is Reason.STORE_SILENT, message
    listing = (await desk.run("list", {"store": desk.store().manifest()})).listing
    assert listing is not None
    assert not listing.backups


@pytest.mark.parametrize("where", [WHOLE, PART], ids=["whole", "last part"])
async def test_a_store_that_keeps_less_than_it_confirms_is_found_out(
    desk: Desk, plain: Etcd, proxy: Proxy, where: dict[str, Any]
) -> None:
    first = await desk.stored(desk.backup(plain, key="first.snapshot"))
    if where is PART:
        # The last one: S3 itself notices that others are too short.
        number = -(-first.description.size // multipart.PART)
        where = {**PART, "containing": f"partNumber={number}"}

    too_large = proxy.fault(Refuse(413), **WHOLE, times=int(where is not WHOLE))
    with too_large, proxy.fault(SwallowHalf(), **where):
        given = desk.backup(plain, desk.store(proxy.endpoint))
        reason, message = await desk.fails("backup", given)

    assert reason is Reason.OBJECT_TRUNCATED
    assert str(first.description.size) in message
    assert len(desk.s3.objects(desk.bucket)) == 2
    assert await desk.nothing_unfinished()


async def test_stores_that_cannot_be_used_are_told_apart(desk: Desk, plain: Etcd) -> None:
    (port,) = free_ports(1)
    nobody = f"https://{HOST}:{port}"
    plaintext = desk.s3.endpoint.replace("https", "http")
    for store, reason in (
        (desk.store(nobody), Reason.STORE_UNREACHABLE),
        (desk.store(custom_ca=False), Reason.STORE_UNTRUSTED),
        (desk.store(plaintext), Reason.STORE_UNREACHABLE),
        (desk.store(bucket="no-such-bucket"), Reason.STORE_MISSING),
    ):
        assert (await desk.fails("backup", desk.backup(plain, store)))[0] is reason
    desk.secret(spec.S3_CREDENTIALS, spec.S3_SECRET_ACCESS_KEY, "another")
    assert (await desk.fails("backup", desk.backup(plain)))[0] is Reason.STORE_DENIED
    desk.secret(spec.S3_CREDENTIALS, spec.S3_SECRET_ACCESS_KEY, "")
    reason, message = await desk.fails("backup", desk.backup(plain))
    assert reason is Reason.CREDENTIALS_UNUSABLE
    assert spec.S3_SECRET_ACCESS_KEY in message
    assert await desk.nothing_stored()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("flip_at", Reason.SNAPSHOT_CORRUPT),
        ("cut_at", Reason.ETCD_UNREACHABLE),
        ("hang_at", Reason.ETCD_SILENT),
    ],
)
async def test_a_snapshot_that_does_not_come_whole_is_not_stored(
    desk: Desk, plain: Etcd, how: str, reason: Reason
) -> None:
    async with line(plain.endpoint) as broken:
        setattr(broken, how, 8 * 1024**2 + 12345)
        given = desk.backup(broken.endpoint, limits={"deadline": 60, "stall": 5})

        found, message = await desk.fails("backup", given)

    assert found is reason, message
    assert await desk.nothing_stored()


async def test_an_answer_that_is_too_long_is_not_waited_for(plain: Etcd) -> None:
    access = spec.EtcdAccess(endpoint=plain.endpoint)
    # As it was when it held its large values.
    first = b64encode(b"\0").decode()
    everything = {"key": first, "range_end": first, "revision": 13}

    async with Member(access, None, stall=STALL) as member:
        with pytest.raises(WorkerError) as raised:
            await member._ask("kv/range", everything, STALL)

    assert raised.value.reason is Reason.ETCD_REFUSED


async def test_an_etcd_that_is_not_there_is_told(desk: Desk) -> None:
    (port,) = free_ports(1)

    reason, message = await desk.fails("backup", desk.backup(f"http://{HOST}:{port}"))

    assert reason is Reason.ETCD_UNREACHABLE
    assert str(port) in message


@pytest.mark.parametrize("where", [WHOLE, PART], ids=["whole", "part"])
async def test_the_deadline_ends_all_and_takes_it_back(
    desk: Desk, plain: Etcd, proxy: Proxy, where: dict[str, Any]
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint), limits={"deadline": 3})

    with befallen(proxy, Hang(), where):
        reason, _ = await desk.fails("backup", given)

    assert reason is Reason.DEADLINE_EXCEEDED
    assert await desk.nothing_stored()


async def test_a_full_disk_is_told_and_leaves_no_file(desk: Desk, plain: Etcd) -> None:
    given = desk.backup(plain, spec.DirectoryStore())

    process = await desk.process("backup", given, "prlimit", f"--fsize={5 * 1024**2}")
    await process.communicate()

    failure = desk.report().failure
    assert failure is not None
    assert failure.reason is Reason.STORE_FULL
    assert not [p for p in desk.paths.below(spec.DIRECTORY).rglob("*") if p.is_file()]


def damage(server: S3, bucket: str, key: str, how: str) -> None:
    """Alters what lies in a bucket."""
    file = server.root / bucket / key
    match how:
        case "flip":
            server.flip_bit(bucket, key)
        case "cut":
            server.cut_short(bucket, key, file.stat().st_size // 2)
        case "remove":
            file.unlink()
        case "undescribe":
            Path(f"{file}.json").unlink()
        case "describe wrongly":
            Path(f"{file}.json").write_text("{}")


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("flip", Reason.OBJECT_ALTERED),
        ("cut", Reason.OBJECT_TRUNCATED),
        ("remove", Reason.OBJECT_MISSING),
        ("undescribe", Reason.OBJECT_UNDESCRIBED),
        ("describe wrongly", Reason.OBJECT_ALTERED),
    ],
)
async def test_a_damaged_backup_is_not_fetched(
    desk: Desk, plain: Etcd, how: str, reason: Reason, *, encrypted: bool
) -> None:
    if encrypted:
        # With keys at hand nothing is taken for a backup that is not encrypted.
        desk.secret(spec.ENCRYPTION_KEYS, "k", b"k" * 32)
    taken = await desk.stored(desk.backup(plain, encryptionKey="k" if encrypted else None))
    given = {"store": desk.store().manifest(), "key": KEY}
    damage(desk.s3, desk.bucket, desk.object, how)

    found, message = await desk.fails("fetch", given)

    if not (encrypted and how == "cut"):  # the end of what is encrypted is missed even earlier
        assert found is reason, message
    assert not list(desk.paths.volume.iterdir())
    if "describe" in how:
        # Who knows the SHA-256 needs no description.
        report = await desk.run("fetch", {**given, "sha256": taken.description.sha256})
        assert report.fetch is not None


async def test_a_broken_download_goes_on_where_it_ended(
    desk: Desk, plain: Etcd, proxy: Proxy
) -> None:
    taken = await desk.stored(desk.backup(plain))
    given = {"store": desk.store(proxy.endpoint).manifest(), "key": KEY}

    with ExitStack() as faults:
        faults.enter_context(proxy.fault(Truncate(), **OBJECT, times=3))
        fetched = (await desk.run("fetch", given)).fetch

    assert fetched is not None
    assert fetched.size == taken.description.snapshot_size


async def test_a_backup_put_in_anothers_place_is_refused(desk: Desk, plain: Etcd) -> None:
    await desk.stored(desk.backup(plain))
    given = {"store": desk.store().manifest(), "key": KEY, "sha256": "0" * 64}

    reason, message = await desk.fails("fetch", given)

    assert reason is Reason.OBJECT_ALTERED
    assert "another one" in message


async def test_an_encrypted_backup_cannot_be_told_younger_than_it_is(
    desk: Desk, plain: Etcd
) -> None:
    desk.secret(spec.ENCRYPTION_KEYS, "k", b"k" * 32)
    taken = await desk.stored(desk.backup(plain, encryptionKey="k"))
    fetch = {"store": desk.store().manifest(), "key": KEY, "encrypted": True}
    assert (await desk.run("fetch", fetch)).fetch is not None
    store = desk.paths.store(desk.store(), spec.Limits())
    later = taken.description.model_copy(update={"created": datetime(2099, 1, 1, tzinfo=UTC)})
    await catalog.describe(store, later)
    await store.close()

    reason, message = await desk.fails("fetch", fetch)

    assert reason is Reason.OBJECT_ALTERED
    assert "its description says 2099-01-01" in message


async def test_without_its_key_an_encrypted_backup_stays_closed(desk: Desk, plain: Etcd) -> None:
    desk.secret(spec.ENCRYPTION_KEYS, "k", b"k" * 32)
    await desk.stored(desk.backup(plain, encryptionKey="k"))
    desk.secret(spec.ENCRYPTION_KEYS, "k", b"x" * 32)

    reason, message = await desk.fails("fetch", {"store": desk.store().manifest(), "key": KEY})

    assert reason is Reason.KEY_MISSING
    assert "kkkk" not in message
    assert not list(desk.paths.volume.iterdir())
