"""What passes between operator and worker, in both directions."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from kok.backup.description import Key, Prefix
from kok.backup.main import _failed
from kok.backup.reasons import TRANSIENT, Reason
from kok.backup.report import MESSAGE_LIMIT, Failure, Report
from kok.backup.spec import BackupSpec, DirectoryStore, S3Store

BACKUP = {
    "etcd": {"endpoint": "https://10.0.0.7:2379", "serverName": "shop-etcd-client.team-a.svc"},
    "store": {"type": "S3", "endpoint": "https://s3.example:9000", "bucket": "backups"},
    "key": "team-a/shop/20260102T030405Z-abc12.snapshot",
    "origin": {"namespace": "team-a", "name": "shop", "clusterID": "1f", "backupUID": "u-1"},
}


def test_a_store_is_told_by_its_type() -> None:
    assert isinstance(BackupSpec.model_validate(BACKUP).store, S3Store)
    other = {**BACKUP, "store": {"type": "Directory", "prefix": "a"}}
    assert BackupSpec.model_validate(other).store == DirectoryStore(prefix="a")


def test_what_the_operator_writes_is_what_the_worker_reads() -> None:
    spec = BackupSpec.model_validate(BACKUP)

    assert BackupSpec.model_validate(spec.manifest()) == spec
    assert spec.origin.cluster_id == "1f"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a.snapshot",
        "../a.snapshot",
        "a/../b.snapshot",
        "a//b.snapshot",
        "a.json",
        "a b.snapshot",
    ],
)
def test_keys_cannot_leave_the_prefix(key: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Key).validate_python(key)


@pytest.mark.parametrize("prefix", ["/a", "a/", "..", "a/../b", "a//b"])
def test_prefixes_are_plain_folders(prefix: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Prefix).validate_python(prefix)


def test_a_failure_says_whether_trying_again_may_help() -> None:
    assert Failure(reason=Reason.STORE_BUSY, message="x").transient
    assert not Failure(reason=Reason.STORE_DENIED, message="x").transient
    assert frozenset(Reason) > TRANSIENT


@pytest.mark.parametrize("text", ["ü" * 5000, '"' * 5000, "\x00\n" * 5000, "🙂" * 5000])
def test_the_longest_failure_fits_a_termination_message(text: str) -> None:
    report = _failed(Reason.INTERNAL, f"{text} password: hunter2")

    assert len(report.text().encode()) < MESSAGE_LIMIT
    assert Report.parse(report.text()) == report
    assert "hunter2" not in report.text()
    assert "\n" not in report.text()


@pytest.mark.parametrize("text", ["", "panic: x", "[]", "{}", '{"failure": {}}'])
def test_what_is_no_report_is_none(text: str) -> None:
    assert Report.parse(text) is None
