"""What the operator does in business clusters: nodes, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.machine.builders import NOW

from kok import pki
from kok.api.fields import Taint
from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.kube.errors import Barred, Unreachable
from kok.operators.machine.node import bootstrap_tokens, drain, nodes
from kok.operators.machine.node.tenants import SILENCE, Pulse, Tenants, way
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.workload.identity import Identity

# --- nodes


def node(
    labels: dict[str, str] | None = None,
    taints: Sequence[dict[str, str]] = (),
    **status: Any,
) -> Manifest:
    meta: dict[str, Any] = {
        "name": "w1",
        "uid": "u",
        "resourceVersion": "7",
        "labels": labels or {},
    }
    return {"metadata": meta, "spec": {"taints": list(taints)}, "status": status}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    return Taint(key=key, effect=effect, value=value)  # type: ignore[arg-type] # any text here


def merged(live: Manifest, patch: Manifest | None) -> Manifest:
    """What the API server makes of a merge patch."""

    def merge(old: Any, new: Any) -> Any:
        if not isinstance(new, dict):
            return new
        out = dict(old) if isinstance(old, dict) else {}
        for key, value in new.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = merge(out.get(key), value)
        return out

    result: Manifest = merge(live, patch or {})
    return result


def test_labels_and_taints_are_set_and_what_others_set_stays() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    live = node({"kubernetes.io/os": "linux"}, [theirs])
    wanted = {"tier": "gold"}, [taint("dedicated", value="shop")]
    patch = nodes.patch(nodes.view(live), *wanted, None)
    after = merged(live, patch)
    assert after["metadata"]["labels"] == {"kubernetes.io/os": "linux", "tier": "gold"}
    assert after["spec"]["taints"] == [
        theirs,
        {"key": "dedicated", "value": "shop", "effect": "NoSchedule"},
    ]
    # A list made from an old one must not overwrite what others changed meanwhile.
    assert patch
    assert patch["metadata"]["resourceVersion"] == "7"
    assert nodes.patch(nodes.view(after), *wanted, nodes.marks(*wanted)) is None


def test_what_is_no_longer_wanted_goes_and_only_that() -> None:
    live = node({"mine": "1"})
    first = {"a": "1", "b": "2"}, [taint("x"), taint("y")]
    live = merged(live, nodes.patch(nodes.view(live), *first, None))
    live = merged(
        live, nodes.patch(nodes.view(live), {"a": "3"}, [taint("y")], nodes.marks(*first))
    )
    assert live["metadata"]["labels"] == {"mine": "1", "a": "3"}
    assert [t["key"] for t in live["spec"]["taints"]] == ["y"]


def test_nothing_wanted_and_nothing_set_is_no_change() -> None:
    assert nodes.patch(nodes.view(node()), {}, [], None) is None
    assert nodes.marks({}, []) is None


def test_a_kubelet_cannot_have_taken_away_what_it_may_not_change_itself() -> None:
    """It may write what it likes into its own Node, annotations included."""
    live = node({"team": "a"}, [{"key": "dedicated", "effect": "NoSchedule"}])
    note = '{"labels":["team"],"taints":[["dedicated","NoSchedule"]]}'
    live["metadata"]["annotations"] = {"kok.dev/set": note}
    assert nodes.patch(nodes.view(live), {}, [], None) is None


_labels = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"))
_taints = st.lists(st.sampled_from("xyz"), unique=True).map(lambda keys: [taint(k) for k in keys])


@given(_labels, st.lists(st.tuples(_labels, _taints), min_size=1, max_size=4))
def test_any_sequence_of_wishes_ends_in_the_last_one(
    theirs: dict[str, str], wishes: list[tuple[dict[str, str], list[Taint]]]
) -> None:
    live = node({f"their-{key}": value for key, value in theirs.items()})
    marks = None
    for labels, taints in wishes:
        live = merged(live, nodes.patch(nodes.view(live), labels, taints, marks))
        marks = nodes.marks(labels, taints)
        assert nodes.patch(nodes.view(live), labels, taints, marks) is None
    labels, taints = wishes[-1]
    own = {k: v for k, v in live["metadata"]["labels"].items() if not k.startswith("their-")}
    assert own == labels
    assert {t["key"] for t in live["spec"]["taints"]} == {t.key for t in taints}
    assert len(live["metadata"]["labels"]) == len(own) + len(theirs)


def test_a_heartbeat_is_no_change_worth_a_pass() -> None:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}
    one = nodes.view(node(conditions=[condition]))
    later = node(conditions=[{**condition, "lastHeartbeatTime": "2"}])
    later["metadata"]["resourceVersion"] = "8"
    assert nodes.gist(one) == nodes.gist(nodes.view(later))
    gone = node(conditions=[{**condition, "status": "Unknown"}])
    assert nodes.gist(one) != nodes.gist(nodes.view(gone))


def test_of_a_node_that_tells_too_much_the_beginning_is_kept() -> None:
    told = node(conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": "x" * 10**6}])
    told["metadata"]["labels"] = {f"{number:x}": "" for number in range(100_000)}
    told["spec"] = {"taints": [{"key": str(n), "effect": "NoExecute"} for n in range(10_000)]}
    seen = nodes.view(told)
    assert seen.size < 2**18
    assert len(seen.heard) < 100
    assert seen.labels["1"] == ""
    assert (seen.bare().name, seen.bare().ready, seen.bare().labels) == (seen.name, True, {})
    assert seen.bare().size < 1000


# --- tokens

ACCESS = ClusterEndpoint("https://192.0.2.10:31443", pki.new_ca("shop", NOW).cert_pem)


def test_a_token_is_for_one_machine_and_lives_for_minutes() -> None:
    made = bootstrap_tokens.secret("abc123", "team-a/w1", NOW)
    assert made["metadata"] == {"name": "bootstrap-token-abc123", "namespace": "kube-system"}
    token = bootstrap_tokens.usable(made, NOW)
    assert token
    assert token.startswith("abc123.")
    assert len(token) == 23
    assert bootstrap_tokens.usable(made, NOW + timedelta(minutes=9)) is None
    assert bootstrap_tokens.usable(None, NOW) is None
    # With kubeadm's group the certificate of any node would be granted.
    assert pki.decode(made, "auth-extra-groups") == MACHINE_BOOTSTRAPPERS.encode()
    text = bootstrap_tokens.bootstrap_kubeconfig(ACCESS, token)
    assert pki.parse_kubeconfig(text).credentials == pki.Token(token)


def test_a_damaged_token_is_none() -> None:
    made = bootstrap_tokens.secret("abc123", "team-a/w1", NOW)
    made["data"] |= pki.encode({"expiration": "tomorrow"})
    assert bootstrap_tokens.usable(made, NOW) is None


# --- the way to a business cluster


def test_outside_of_pods_the_public_address_is_used_with_the_operators_own_rights() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal = "https://192.0.2.10:31443", "https://shop-apiserver.team-a.svc:6443"
    outside = way(ours, public=public, internal=internal, inside=False)
    within = way(ours, public=public, internal=internal, inside=True)
    assert outside is not None
    assert within is not None
    assert (outside.access.server, within.access.server) == (public, internal)
    assert outside.digest != within.digest
    assert outside.access.key == ours.leaf.key_pem
    assert way(ours, public=None, internal=internal, inside=False) is None
    assert "PRIVATE KEY" not in repr(within)


async def test_the_public_address_must_not_lead_where_it_is_forbidden() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal, closed = "https://localhost:1", "https://127.0.0.1:2", ("127.0.0.0/8", "::1")
    tenants = Tenants(5.0)
    for inside, error in ((False, Barred), (True, Unreachable)):
        found = way(ours, public=public, internal=internal, inside=inside, closed=closed)
        assert found is not None
        tenant = await tenants.connect(("team-a", str(inside)), found)
        with pytest.raises(Unreachable) as raised:
            await tenant.kube.raw("GET", "/version")
        assert type(raised.value) is error
    await tenants.close()


# --- does it answer?


def test_one_lost_request_is_no_outage_and_silence_is() -> None:
    now, told = [100.0], []
    pulse = Pulse(lambda: now[0])
    pulse.changed = lambda: told.append(pulse.answers)
    pulse.observe("GET", 200)
    pulse.observe("GET", 0)
    assert pulse.answers is True
    now[0] += SILENCE
    assert pulse.silence == SILENCE
    pulse.observe("GET", 503)
    assert pulse.answers is False
    pulse.observe("GET", 403)  # Refused is answered.
    assert (pulse.answers, pulse.silence) == (True, 0.0)
    assert told == [False, True]


def test_a_question_that_is_refused_counts_and_a_refused_write_does_not() -> None:
    told: list[bool] = []
    pulse = Pulse(lambda: 0.0)
    pulse.changed = lambda: told.append(pulse.refused)
    pulse.observe("GET", 200)
    pulse.observe("PATCH", 403)  # By a webhook, for example.
    assert told == []
    pulse.observe("GET", 403)
    pulse.observe("GET", 403)
    assert (pulse.answers, pulse.refused, told) == (True, True, [True])
    pulse.observe("GET", 200)
    assert told == [True, False]


def test_an_api_that_never_answered_is_not_given_the_benefit_of_the_doubt() -> None:
    pulse = Pulse(lambda: 0.0)
    pulse.observe("GET", 0)
    assert pulse.answers is False


# --- draining


@pytest.mark.parametrize(
    ("pod", "leaves"),
    [
        ({}, True),
        ({"ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}, True),
        ({"ownerReferences": [{"controller": True, "kind": "DaemonSet"}]}, False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, False),
    ],
)
def test_which_pods_leave(pod: dict[str, Any], leaves: bool) -> None:
    assert drain.concerns({"metadata": pod, "status": {"phase": "Running"}}) is leaves


def test_pods_that_ended_need_not_leave() -> None:
    assert not drain.concerns({"metadata": {}, "status": {"phase": "Succeeded"}})
