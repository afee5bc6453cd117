"""Connections to business clusters: where they lead, and whom they wake."""

from __future__ import annotations

import pytest
from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.kube.errors import Barred, Unreachable
from kok.operators.machine.node.cluster_connections import ClusterConnections, connection_spec
from kok.workload.identity import Identity


def test_outside_of_pods_the_public_address_is_used_with_the_operators_own_rights() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal = "https://192.0.2.10:31443", "https://shop-apiserver.team-a.svc:6443"
    outside = connection_spec(ours, public=public, internal=internal, inside=False)
    within = connection_spec(ours, public=public, internal=internal, inside=True)
    assert outside is not None
    assert within is not None
    assert (outside.access.server, within.access.server) == (public, internal)
    assert outside.digest != within.digest
    assert outside.access.key == ours.leaf.key_pem
    assert connection_spec(ours, public=None, internal=internal, inside=False) is None
    assert "PRIVATE KEY" not in repr(within)


async def test_the_public_address_must_not_lead_where_it_is_forbidden() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal, closed = "https://localhost:1", "https://127.0.0.1:2", ("127.0.0.0/8", "::1")
    clusters = ClusterConnections(5.0)
    for inside, error in ((False, Barred), (True, Unreachable)):
        found = connection_spec(
            ours, public=public, internal=internal, inside=inside, closed=closed
        )
        assert found is not None
        connection = await clusters.connect(("team-a", str(inside)), found)
        with pytest.raises(Unreachable) as raised:
            await connection.kube.raw("GET", "/version")
        assert type(raised.value) is error
    await clusters.close()
