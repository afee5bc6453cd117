"""What becomes of a member's refusals; the texts are those of etcd."""

from __future__ import annotations

import pytest

from kok.backup.commands.member import Member
from kok.backup.reasons import Reason
from kok.backup.spec import EtcdAccess
from kok.etcdclient import grpc
from kok.etcdclient.grpc import CallError, Failure

_INVALID_ARGUMENT = 3


def refused(code: int, text: str) -> CallError:
    return CallError(Failure.REFUSED, text, code)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused(grpc.PERMISSION_DENIED, "etcdserver: permission denied"), Reason.ETCD_DENIED),
        (refused(_INVALID_ARGUMENT, "etcdserver: user name is empty"), Reason.ETCD_DENIED),
        (refused(grpc.UNAUTHENTICATED, "etcdserver: invalid auth token"), Reason.ETCD_DENIED),
        (refused(grpc.DEADLINE_EXCEEDED, "context deadline exceeded"), Reason.ETCD_SILENT),
        (refused(grpc.UNAVAILABLE, "etcdserver: no leader"), Reason.ETCD_SILENT),
        (refused(grpc.UNAVAILABLE, "etcdserver: request timed out"), Reason.ETCD_SILENT),
        (refused(grpc.UNAVAILABLE, "transport is closing"), Reason.ETCD_UNREACHABLE),
        (
            refused(grpc.UNKNOWN, "etcdserver: mvcc: database space exceeded"),
            Reason.ETCD_REFUSED,
        ),
        (CallError(Failure.UNREACHABLE, "refused"), Reason.ETCD_UNREACHABLE),
        (CallError(Failure.BROKE_OFF, "reset"), Reason.ETCD_UNREACHABLE),
        (CallError(Failure.SILENT, "timed out"), Reason.ETCD_SILENT),
        (CallError(Failure.UNTRUSTED, "alert unknown ca"), Reason.ETCD_UNTRUSTED),
        (CallError(Failure.STRANGE, "HTTP status 404"), Reason.ETCD_REFUSED),
    ],
)
async def test_refusals_are_told_apart(error: CallError, reason: Reason) -> None:
    async with Member(EtcdAccess(endpoint="http://127.0.0.1:1"), None, stall=1.0) as member:
        told = member._translate(error)

    assert told.reason is reason
    assert "http://127.0.0.1:1" in told.message
