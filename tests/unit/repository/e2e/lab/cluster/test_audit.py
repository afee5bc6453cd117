"""Counting writes from the audit log."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from e2e.lab.cluster import audit

SINCE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def _line(at: str, agent: str, resource: str, subresource: str | None = None) -> str:
    reference = {"resource": resource, "namespace": "default", "name": "x"}
    if subresource:
        reference["subresource"] = subresource
    return json.dumps(
        {
            "verb": "patch",
            "userAgent": agent,
            "user": {"username": "system:serviceaccount:kok-system:etcd"},
            "objectRef": reference,
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": at,
        }
    )


LOG = [
    _line("2026-01-01T11:59:59.999999Z", "kok-etcd", "pods"),
    _line("2026-01-01T12:00:02.000000Z", "kok-etcd", "etcdclusters", "status"),
    _line("2026-01-01T12:00:01.000000Z", "kok-cluster", "secrets"),
    _line("2026-01-01T12:00:03.000000Z", "kok-cluster", "leases"),
    _line("2026-01-01T12:00:04.000000Z", "kok-cluster", "pods")[:40],
]


def test_writes_since_a_moment_are_found_oldest_first() -> None:
    found = audit.parse(LOG, SINCE)
    assert [write.resource for write in found] == ["secrets", "etcdclusters/status", "leases"]
    assert found[0].at == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
    assert (found[0].verb, found[0].code, found[0].namespace) == ("patch", 200, "default")


def test_leases_do_not_count_as_writes() -> None:
    assert audit.by_user_agent(audit.parse(LOG, SINCE)) == {"kok-etcd": 1, "kok-cluster": 1}


def test_a_request_without_an_object_is_a_write_too() -> None:
    event = json.loads(_line("2026-01-01T12:00:01Z", "curl", "pods"))
    del event["objectRef"]
    (write,) = audit.parse([json.dumps(event)], SINCE)
    assert (write.user_agent, write.resource) == ("curl", "")


@pytest.mark.parametrize(
    ("decision", "message", "denied"),
    [
        ("forbid", 'pods is forbidden: User "kok" cannot create resource "pods"', True),
        ("allow", "roles is forbidden: user kok is attempting to grant RBAC permissions not held", True),
        ("allow", 'pods "x" is forbidden: exceeded quota: small', False),
        ("allow", "secrets is forbidden: unable to create new content: it is being terminated", False),
    ],
)  # fmt: skip
def test_only_who_lacks_a_right_was_denied(decision: str, message: str, denied: bool) -> None:
    event = json.loads(_line("2026-01-01T12:00:01Z", "kok-cluster", "pods"))
    event["responseStatus"] = {"code": 403, "message": message}
    event["annotations"] = {"authorization.k8s.io/decision": decision}
    (write,) = audit.parse([json.dumps(event)], SINCE)
    assert write.denied is denied
