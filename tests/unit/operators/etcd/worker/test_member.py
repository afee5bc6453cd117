"""What becomes of a member's refusals; the texts are those of etcd and of grpcio."""

from __future__ import annotations

import grpc
import pytest

from kok.operators.etcd.worker.member import Member
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.spec import EtcdAccess

CODE = grpc.StatusCode
CONNECT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (CODE.PERMISSION_DENIED, "etcdserver: permission denied", Reason.ETCD_DENIED),
        (CODE.INVALID_ARGUMENT, "etcdserver: user name is empty", Reason.ETCD_DENIED),
        (CODE.UNAUTHENTICATED, "etcdserver: invalid auth token", Reason.ETCD_DENIED),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", Reason.ETCD_SILENT),
        (CODE.UNAVAILABLE, "etcdserver: no leader", Reason.ETCD_SILENT),
        (CODE.UNAVAILABLE, "etcdserver: request timed out", Reason.ETCD_SILENT),
        (CODE.UNAVAILABLE, f"{CONNECT}Failed to connect to remote host", Reason.ETCD_UNREACHABLE),
        (CODE.UNAVAILABLE, "Socket closed", Reason.ETCD_UNREACHABLE),
        (CODE.UNAVAILABLE, f"{CONNECT}Hostname Verification Check failed.", Reason.ETCD_UNTRUSTED),
        (CODE.UNAVAILABLE, f"{CONNECT}Tls handshake failed", Reason.ETCD_UNTRUSTED),
        # The client certificate is not accepted.
        (CODE.UNAVAILABLE, f"{CONNECT}Unwrap failed (TSI_DATA_CORRUPTED)", Reason.ETCD_UNTRUSTED),
        (CODE.UNKNOWN, "etcdserver: mvcc: database space exceeded", Reason.ETCD_REFUSED),
    ],
)
async def test_refusals_are_told_apart(code: grpc.StatusCode, text: str, reason: Reason) -> None:
    async with Member(EtcdAccess(endpoint="http://127.0.0.1:1"), None, stall=1.0) as member:
        error = member._translate(code, text)

    assert error.reason is reason
    assert "http://127.0.0.1:1" in error.message
