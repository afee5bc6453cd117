"""What an EtcdCluster is made of: golden files, and what must hold for all of them."""

from __future__ import annotations

import pytest
from tests.unit.golden import etcd as golden
from tests.unit.operators.etcd.builders import CLUSTER_ID, an_etcd

from kok.api.meta import Manifest
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.render import Start, VolumeNotes, quota_bytes

FINGERPRINT = "sha256:00ff"
ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")


def pod_of(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def flags_of(manifest: Manifest) -> dict[str, str]:
    command = pod_of(manifest)["containers"][0]["command"]
    assert command[0] == "etcd"
    return dict(word.removeprefix("--").split("=", 1) for word in command[1:])


@pytest.mark.parametrize("version", ["3.5.21", "3.6.10", "3.7.3"])
def test_a_member_of_each_minor(version: str) -> None:
    obj = an_etcd(version=version, members=3)

    golden.check(f"member-{version}", [render.statefulset(obj, ALL[0], FINGERPRINT)])


def test_how_members_start() -> None:
    obj = an_etcd(members=3)
    starts = {ALL[0]: Start(ALL), ALL[1]: Start(ALL), ALL[2]: Start()}

    golden.check("start", [render.start_map(obj, starts)])


def test_everything_that_users_can_set() -> None:
    obj = an_etcd(
        members=1,
        storage={"size": "20Gi", "className": "fast", "quota": "50%"},
        placement={
            "spread": "topology.kubernetes.io/zone",
            "requireSpread": True,
            "nodeSelector": {"pool": "etcd"},
            "tolerations": [{"key": "etcd", "operator": "Exists", "effect": "NoSchedule"}],
        },
        resources={"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        images={"registry": "mirror.example:5000", "pullSecrets": ["pull"]},
        maintenance={"compaction": {"mode": "Revision", "retention": "10000"}},
        tuning={
            "heartbeatMilliseconds": 200,
            "electionMilliseconds": 2000,
            "snapshotCount": 20000,
        },
        deletionPolicy="Retain",
    )

    golden.check(
        "all-settings",
        [
            render.statefulset(obj, ALL[0], FINGERPRINT),
            render.volume(obj, ALL[0], VolumeNotes(CLUSTER_ID, "id-0"), None),
            render.peer_service(obj),
            render.client_service(obj),
            render.budget(obj),
        ],
    )


def test_a_member_that_has_started_is_never_in_the_list_that_it_would_start_with() -> None:
    data = render.start_map(an_etcd(members=3), {ALL[0]: Start(ALL), ALL[1]: Start()})["data"]

    assert data[f"{ALL[0]}.initial-cluster-state"] == "new"
    assert ALL[0] in data[f"{ALL[0]}.initial-cluster"]
    assert data[f"{ALL[1]}.initial-cluster-state"] == "existing"
    assert ALL[1] not in data[f"{ALL[1]}.initial-cluster"]


def test_how_to_start_is_looked_up_and_nowhere_fixed_in_the_pod() -> None:
    made = render.statefulset(an_etcd(members=3), ALL[1], FINGERPRINT)

    assert {"initial-cluster", "initial-cluster-state"}.isdisjoint(flags_of(made))
    looked_up = {
        entry["name"]: entry["valueFrom"]["configMapKeyRef"]
        for entry in pod_of(made)["containers"][0]["env"]
    }
    keys = render.start_map(an_etcd(members=3), {ALL[1]: Start()})["data"]
    assert set(looked_up) == {"ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE"}
    assert {reference["key"] for reference in looked_up.values()} == set(keys)
    assert not any(reference.get("optional") for reference in looked_up.values())


def test_other_settings_show_on_the_pod() -> None:
    def settings(**spec: object) -> str:
        made = render.statefulset(an_etcd(members=3, **spec), ALL[0], FINGERPRINT)
        return str(made["spec"]["template"]["metadata"]["annotations"][naming.ANNOTATION_SETTINGS])

    assert settings() == settings()
    assert settings() != settings(resources={"requests": {"cpu": "2"}})


def test_pods_pass_the_restricted_security_standard() -> None:
    pod = pod_of(render.statefulset(an_etcd(), ALL[0], FINGERPRINT))

    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_probes_never_make_liveness_depend_on_quorum() -> None:
    container = pod_of(render.statefulset(an_etcd(), ALL[0], FINGERPRINT))["containers"][0]

    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["readinessProbe"]["periodSeconds"] == 1
    assert container["startupProbe"]["periodSeconds"] == 1
    # Members that wait for each other, for a quorum, must not be killed for it.
    assert container["startupProbe"]["failureThreshold"] >= 600


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        ("8Gi", "80%", 6_871_947_673),
        ("1Gi", "80%", 512 * 1024**2),
        ("1Gi", "10%", 107_374_182),
        ("100Gi", "99%", 106_300_440_576),
    ],
)
def test_the_quota_leaves_room_for_the_log(size: str, share: str, expected: int) -> None:
    assert quota_bytes(size, share) == expected


def test_a_volume_that_was_enlarged_by_hand_is_left_so() -> None:
    obj = an_etcd(storage={"size": "8Gi"})
    live = render.volume(obj, ALL[0], VolumeNotes(), None)
    live["spec"] = {**live["spec"], "resources": {"requests": {"storage": "16Gi"}}}
    live["spec"]["volumeName"] = "pv-1"

    again = render.volume(obj, ALL[0], VolumeNotes(), live)

    assert again["spec"]["resources"]["requests"]["storage"] == "16Gi"
    assert "volumeName" not in again["spec"]


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_no_garbage_collector_finds_an_owner_on_a_volume(policy: str) -> None:
    """Whose it is its labels tell; `deletionPolicy` may change after it was made."""
    obj = an_etcd(deletionPolicy=policy)

    made = render.volume(obj, ALL[0], VolumeNotes(), None)

    assert "ownerReferences" not in made["metadata"]
    assert roles.is_ours(made, obj)


def test_rendering_is_deterministic() -> None:
    obj = an_etcd(members=5, placement={"nodeSelector": {"b": "1", "a": "2"}})

    first = render.statefulset(obj, ALL[0], FINGERPRINT)

    again = an_etcd(members=5, placement={"nodeSelector": {"a": "2", "b": "1"}})
    assert render.statefulset(again, ALL[0], FINGERPRINT) == first


def test_names_fit_into_what_kubernetes_allows() -> None:
    longest = "e" * 45
    obj = an_etcd(name=longest)

    made = render.statefulset(obj, naming.member_names(longest, 7)[6], FINGERPRINT)

    # A StatefulSet's pods carry `controller-revision-hash`: its name, a dash and ten characters.
    assert len(made["metadata"]["name"]) + 11 <= 63
    for value in made["spec"]["template"]["metadata"]["labels"].values():
        assert len(value) <= 63
