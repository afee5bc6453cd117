"""`check`: is a restored etcd what the backup says it is."""

from __future__ import annotations

import asyncio

from kok.backup.commands.member import Member
from kok.backup.description import Contents
from kok.backup.encryption import sealing
from kok.backup.encryption.encryption import read_keys
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import CheckResult
from kok.backup.spec import ROOT_PASS_NAME, CheckSpec, EtcdAccess
from kok.etcdclient.model import MemberStatus

_AGAIN = 0.2
"""Seconds between two looks at an etcd that still starts."""
_STARTING = {Reason.ETCD_UNREACHABLE, Reason.ETCD_SILENT}


async def check(spec: CheckSpec, paths: WorkerPaths) -> CheckResult:
    """The command. It waits for etcd until the deadline. Raises `WorkerError`."""
    access = EtcdAccess(endpoint=spec.endpoint, server_name=ROOT_PASS_NAME)
    certificates = paths.root_pass if spec.endpoint.startswith("https:") else None
    async with Member(access, certificates, stall=spec.limits.stall) as member:
        status = await _started(member)
        # Expired leases may have changed things since the start: all is asked as of the revision.
        revision = spec.expect.revision
        keys = found = sealed = None
        if status.revision >= revision:
            sealed = await member.value(sealing.WHERE, revision)
            keys = await member.keys(revision)
            found = await member.hash(revision) if spec.expect.hash is not None else None
    result = compare(
        spec.expect,
        Contents(
            revision=status.revision,
            etcd_version=status.version,
            keys=keys,
            hash=found and found.value,
            compact_revision=found and found.compacted,
            sealed_keys=sealing.digest(sealed),
        ),
    )
    if sealed is None or spec.expect.sealed_keys is None or not result.equal:
        return result
    opened = sealing.try_open(sealed, read_keys(paths.encryption_keys))
    if opened.problem is None:
        return result.model_copy(update={"keys_opened": opened.names is not None})
    differences = [*result.differences, opened.problem]
    return result.model_copy(update={"equal": False, "differences": differences})


def compare(expect: Contents, found: Contents) -> CheckResult:
    """What differs. What was not recorded or cannot be compared makes no difference."""
    differences = []
    if found.revision < expect.revision:
        differences.append(
            f"the restored etcd is at revision {found.revision}, and {expect.revision} was "
            "acknowledged when the backup was made: writes are missing"
        )
    elif expect.keys is not None and found.keys != expect.keys:
        differences.append(
            f"the restored etcd has {_or_none(found.keys)} keys at revision {expect.revision}, and "
            f"{expect.keys} were there"
        )
    if expect.sealed_keys is not None and found.sealed_keys != expect.sealed_keys:
        differences.append("the sealed keys in the restored etcd are not those of the backup")
    comparable = (
        expect.hash is not None
        and found.hash is not None
        and expect.compact_revision == found.compact_revision
        # The sum was defined anew in patch levels of several minors.
        and expect.etcd_version == found.etcd_version
    )
    if comparable and expect.hash != found.hash:
        differences.append(
            f"the content differs at revision {expect.revision}: HashKV is {found.hash}, and was "
            f"{expect.hash}"
        )
    return CheckResult(
        equal=not differences, differences=differences, found=found, hash_compared=comparable
    )


async def _started(member: Member) -> MemberStatus:
    while True:
        try:
            return await member.status()
        except WorkerError as error:
            if error.reason not in _STARTING:
                raise
        await asyncio.sleep(_AGAIN)


def _or_none(number: int | None) -> str:
    return "unknown" if number is None else str(number)
