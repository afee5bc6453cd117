"""Backups that go well: what is stored, what is told of it, and that it can be restored from."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import signal
from pathlib import Path

import pytest
from e2e.faults.s3proxy import Hang, Proxy, Refuse, Slow
from tests.integration.apiserver import ETCD_VERSION
from tests.integration.backup.conftest import (
    KEY,
    STALL,
    WHOLE,
    Desk,
    content,
    names,
    until,
    until_hit,
)
from tests.integration.backup.servers import LIMIT, NAME, Etcd, etcd, fill, issue, restore

from kok.backup import spec
from kok.backup.commands.member import Member
from kok.backup.description import Contents
from kok.backup.reasons import Reason

SLOW = Slow(256 * 1024)
MOST_MEMORY = 100 * 1024**2
"""Bytes that a worker may take, however large the database is."""


async def revision_of(one: Etcd) -> int:
    async with Member(spec.EtcdAccess(endpoint=one.endpoint), None, stall=STALL) as member:
        return (await member.status()).revision


async def test_a_backup_is_stored_described_and_told_of(desk: Desk, plain: Etcd) -> None:
    result = await desk.stored(desk.backup(plain))

    stored = (desk.s3.root / desk.bucket / desk.object).read_bytes()
    told = result.description
    assert result.location == f"s3://{desk.bucket}/{desk.object}"
    assert told.size == told.snapshot_size == len(stored)
    assert told.sha256 == hashlib.sha256(stored).hexdigest()
    assert hashlib.sha256(stored[:-32]).digest() == stored[-32:]
    assert told.contents.revision == await revision_of(plain)
    assert told.contents.keys == 12 + 88
    assert told.contents.hash is not None
    assert told.contents.etcd_version == ETCD_VERSION.removeprefix("v")
    assert told.origin.cluster_id is not None
    assert told.encryption is None
    beside = desk.s3.root / desk.bucket / f"{desk.object}.json"
    assert json.loads(beside.read_text()) == told.manifest()
    assert result.usage.bytes_per_second > 0
    assert await desk.nothing_unfinished()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_fetched_backup_restores_to_what_was_there(
    desk: Desk, plain: Etcd, tmp_path: Path, *, encrypted: bool
) -> None:
    if encrypted:
        desk.secret(spec.ENCRYPTION_KEYS, "new", b"n" * 32)
        desk.secret(spec.ENCRYPTION_KEYS, "old", base64.b64encode(b"o" * 32))
    taken = await desk.stored(desk.backup(plain, encryptionKey="old" if encrypted else None))
    given = {"store": desk.store().manifest(), "key": KEY, "sha256": taken.description.sha256}

    fetched = (await desk.run("fetch", given)).fetch

    assert fetched is not None
    stored = (desk.s3.root / desk.bucket / desk.object).read_bytes()
    snapshot = content(fetched.path)
    assert (stored == snapshot) is not encrypted
    assert fetched.size == len(snapshot) == taken.description.snapshot_size
    assert names(desk.paths.volume) == ["snapshot.db"]
    data = tmp_path / "restored"
    restore(fetched.path, data)
    with etcd(tmp_path / "throwaway", tls=False, data=data) as one:
        checked = await check(desk, one, taken.description.contents)
        assert checked == (True, True, [])
        more = taken.description.contents.model_copy(update={"keys": 7})
        equal, _, differences = await check(desk, one, more)
        assert not equal
        assert "100 keys" in differences[0]


async def check(desk: Desk, one: Etcd, expect: Contents) -> tuple[bool, bool, list[str]]:
    report = await desk.run(
        "check", {"endpoint": one.endpoint, "expect": expect.manifest(), "limits": {"deadline": 60}}
    )
    assert report.check is not None, report.failure
    return report.check.equal, report.check.hash_compared, report.check.differences


async def test_a_volume_serves_as_well(desk: Desk, plain: Etcd) -> None:
    store = spec.DirectoryStore(prefix="backups")
    taken = await desk.stored(desk.backup(plain, store))

    given = {"store": store.manifest(), "key": KEY}
    fetched = (await desk.run("fetch", given)).fetch
    assert fetched is not None
    assert content(fetched.path) == content(taken.location)
    folder = desk.paths.below(spec.DIRECTORY) / "backups/team-a/shop"
    assert len(names(folder)) == 2
    assert {file.stat().st_mode & 0o077 for file in folder.iterdir()} == {0}
    for existed in (True, False):
        removed = (await desk.run("remove", given)).remove
        assert removed is not None
        assert removed.existed is existed
    assert not names(folder)
    assert (await desk.fails("fetch", given))[0] is Reason.OBJECT_MISSING


async def test_backups_are_listed_newest_first_and_removed(desk: Desk, plain: Etcd) -> None:
    store = desk.store().manifest()
    for number in range(3):
        await desk.stored(desk.backup(plain, key=f"team-a/shop/{number}.snapshot"))
    await desk.stored(desk.backup(plain, key="team-a/other/9.snapshot"))
    (desk.s3.root / desk.bucket / "kok/team-a/shop/foreign.snapshot").write_bytes(b"x")

    listing = (await desk.run("list", {"store": store, "under": "team-a/shop"})).listing

    assert listing is not None
    assert (listing.total, listing.undescribed) == (3, 1)
    assert [b.key for b in listing.backups] == [f"team-a/shop/{n}.snapshot" for n in (2, 1, 0)]
    assert listing.newest is not None
    assert listing.newest.origin.name == "shop"
    given = {"store": store, "key": "team-a/shop/1.snapshot"}
    for existed in (True, False):
        removed = (await desk.run("remove", given)).remove
        assert removed is not None
        assert removed.existed is existed
    left = (await desk.run("list", {"store": store})).listing
    assert left is not None
    assert left.total == 3


async def test_a_second_try_finds_the_first_ones_work_and_nobody_elses(
    desk: Desk, plain: Etcd
) -> None:
    first = await desk.stored(desk.backup(plain))
    again = await desk.stored(desk.backup(plain))
    other = desk.backup(plain)
    other["origin"] = {**other["origin"], "backupUID": "uid-2"}

    assert again.description == first.description
    assert (await desk.fails("backup", other))[0] is Reason.KEY_TAKEN
    assert len(desk.s3.objects(desk.bucket)) == 2


async def test_another_cluster_at_the_endpoint_is_refused(desk: Desk, plain: Etcd) -> None:
    given = desk.backup(plain)
    given["origin"]["clusterID"] = "abc"

    reason, message = await desk.fails("backup", given)

    assert reason is Reason.ETCD_REFUSED
    assert "abc" in message
    assert await desk.nothing_stored()


async def test_with_authentication_the_certificates_user_needs_a_role_and_is_told(
    desk: Desk, tmp_path: Path
) -> None:
    with etcd(tmp_path / "etcd", tls=True) as one:
        assert one.certificates is not None
        for file in issue(one.certificates, "etcd-client").iterdir():
            desk.secret(spec.ETCD_CERTIFICATES, file.name, file.read_bytes())
        given = desk.backup(one)
        given["etcd"]["serverName"] = NAME
        one.ctl("put", "a", "b")
        for user in ("root", "etcd-client"):
            one.ctl("user", "add", user, "--no-password")
        one.ctl("user", "grant-role", "root", "root")
        one.ctl("auth", "enable")

        reason, message = await desk.fails("backup", given)
        assert reason is Reason.ETCD_DENIED
        assert "etcd-client" in message
        assert "role root" in message
        assert await desk.nothing_stored()

        one.ctl("user", "grant-role", "etcd-client", "root", user="root")
        assert (await desk.stored(given)).description.contents.keys == 1

        given["etcd"]["serverName"] = ""
        assert (await desk.fails("backup", {**given, "key": "x.snapshot"}))[0] is (
            Reason.ETCD_UNTRUSTED
        )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Etcd:
    """An etcd of some 260 MiB, more than twice what a worker may take."""
    with etcd(tmp_path_factory.mktemp("large"), tls=True) as one:
        assert one.certificates is not None
        access = spec.EtcdAccess(endpoint=one.endpoint, server_name=NAME)

        async def filled() -> None:
            certificates = issue(one.certificates or Path(), "etcd-client")
            async with Member(access, certificates, stall=LIMIT) as member:
                await fill(member, 260, 1024**2)

        asyncio.run(filled())
        yield one


@pytest.mark.parametrize("encrypted", [False, True])
async def test_memory_stays_constant_however_large_the_database(
    desk: Desk, large: Etcd, *, encrypted: bool
) -> None:
    assert large.certificates is not None
    for file in issue(large.certificates, "etcd-client").iterdir():
        desk.secret(spec.ETCD_CERTIFICATES, file.name, file.read_bytes())
    if encrypted:
        # With keys at hand nothing is taken for a backup that is not encrypted.
        desk.secret(spec.ENCRYPTION_KEYS, "k", b"k" * 32)
    given = desk.backup(large, encryptionKey="k" if encrypted else None)
    given["etcd"]["serverName"] = NAME
    given["limits"]["deadline"] = 300

    process = await desk.process("backup", given)
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    result = desk.report().backup
    assert result is not None
    assert result.description.snapshot_size > 260 * 1024**2
    assert result.usage.peak_memory < MOST_MEMORY
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[-1]["event"] == "done"
    assert desk.s3.secret_key not in output.decode()

    process = await desk.process("fetch", {"store": desk.store().manifest(), "key": KEY})
    await process.communicate()
    fetched = desk.report().fetch
    assert fetched is not None
    assert fetched.size == result.description.snapshot_size
    assert fetched.usage.peak_memory < MOST_MEMORY


@pytest.mark.parametrize("in_parts", [False, True])
async def test_told_to_end_it_takes_back_what_it_began(
    desk: Desk, plain: Etcd, proxy: Proxy, *, in_parts: bool
) -> None:
    # What is under way reaches the server also afterwards: it has to be little.
    slow = SLOW if in_parts else Slow(4 * 1024**2)
    with proxy.fault(Refuse(413), **WHOLE, times=int(in_parts)), proxy.fault(slow, method="PUT"):
        process = await desk.process("backup", desk.backup(plain, desk.store(proxy.endpoint)))
        await until_hit(proxy, 1 + in_parts)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            await process.communicate()

    failure = desk.report().failure
    assert process.returncode == 1
    assert failure is not None
    assert failure.reason is Reason.INTERRUPTED
    assert failure.transient
    assert await desk.nothing_stored()


async def test_a_killed_workers_parts_go_with_the_next_try(
    desk: Desk, plain: Etcd, proxy: Proxy
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint))
    third = {"method": "PUT", "containing": "partNumber=3"}
    with proxy.fault(Refuse(413), **WHOLE), proxy.fault(Hang(), **third):
        process = await desk.process("backup", given)
        await until_hit(proxy, 2)
        await until(proxy, lambda: proxy.under_way == 1)
        process.kill()
        await process.communicate()
    assert desk.s3.unfinished(desk.bucket)

    await desk.stored(given)

    assert await desk.nothing_unfinished()


async def test_what_a_killed_worker_left_is_no_backup_and_takes_no_backups_place(
    desk: Desk, plain: Etcd, proxy: Proxy
) -> None:
    given = desk.backup(plain, desk.store(proxy.endpoint))
    with proxy.fault(SLOW, **WHOLE):
        process = await desk.process("backup", given)
        await until_hit(proxy)
        process.kill()
        await process.communicate()
    listing = (await desk.run("list", {"store": desk.store().manifest()})).listing
    assert listing is not None
    assert not listing.backups

    result = await desk.stored(given)

    # The server hears only now that the first one will not go on, and keeps what it has of it.
    await until(proxy, lambda: not proxy.under_way)
    assert await desk.nothing_unfinished()
    assert desk.s3.objects(desk.bucket)[desk.object] == result.description.size


async def test_a_try_that_was_given_up_takes_back_nothing_of_the_next_one(
    desk: Desk, plain: Etcd, proxy: Proxy
) -> None:
    """It lives on, as on a node that is cut off from the API server alone."""
    with proxy.fault(Hang(), method="GET", ending=".snapshot"):
        process = await desk.process("backup", desk.backup(plain, desk.store(proxy.endpoint)))
        await until_hit(proxy)
        result = await desk.stored(desk.backup(plain))
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            await process.communicate()

    failure = desk.report().failure
    assert failure is not None
    assert failure.reason is Reason.INTERRUPTED
    assert desk.s3.objects(desk.bucket)[desk.object] == result.description.size
    given = {"store": desk.store().manifest(), "key": KEY, "sha256": result.description.sha256}
    assert (await desk.run("fetch", given)).fetch is not None


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_second_try_believes_no_description_but_its_own(
    desk: Desk, plain: Etcd, *, encrypted: bool
) -> None:
    """Whoever may write to the store knows the EtcdBackup's UID, and answers a first try with 503."""
    if encrypted:
        desk.secret(spec.ENCRYPTION_KEYS, "key", b"n" * 32)
    given = desk.backup(plain, encryptionKey="key" if encrypted else None)
    first = await desk.stored(given)
    beside = desk.s3.root / desk.bucket / f"{desk.object}.json"
    told = json.loads(beside.read_text()) | {"created": "9998-01-01T00:00:00Z"}
    beside.write_text(json.dumps(told))

    reason, message = await desk.fails("backup", given)

    assert reason is Reason.OBJECT_ALTERED
    assert "9998-01-01" in message
    beside.write_text(json.dumps(first.description.manifest()))
    assert (await desk.stored(given)).description == first.description


async def test_a_spec_of_another_version_is_told_with_what_does_not_fit(desk: Desk) -> None:
    reason, message = await desk.fails("backup", {"key": KEY})

    assert reason is Reason.SPEC_INVALID
    assert "store" in message
