"""From a spec to one with all defaults, and what is refused on the way."""

from __future__ import annotations

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.operators.cluster.cluster.spec.flags import command_line, known
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.naming import API_SERVER, CONTROLLER_MANAGER, SCHEDULER
from kok.runtime.controller.errors import Invalid


def refusal(**spec: object) -> str:
    with pytest.raises(Invalid) as caught:
        resolve(a_cluster(**spec))
    return str(caught.value)


@pytest.mark.parametrize(
    ("profile", "members", "replicas"),
    [("edge", 1, (1, 1, 1)), ("standard", 3, (2, 1, 1)), ("ha", 3, (2, 2, 2))],
)
def test_a_profile_sets_the_sizes(
    profile: str, members: int, replicas: tuple[int, int, int]
) -> None:
    resolved = resolve(a_cluster(profile=profile))
    assert resolved.profile.members == members
    found = [resolved.parts[c].replicas for c in (API_SERVER, CONTROLLER_MANAGER, SCHEDULER)]
    assert tuple(found) == replicas


def test_single_fields_override_the_profile() -> None:
    wanted = {"replicas": 3, "resources": {"requests": {"memory": "1Gi"}}}
    part = resolve(a_cluster(apiServer=wanted)).parts[API_SERVER]
    assert part.replicas == 3
    assert part.resources == {"requests": {"cpu": "50m", "memory": "1Gi"}}


def test_a_limit_below_the_profiles_request_is_the_request() -> None:
    wanted = {"resources": {"limits": {"memory": "128Mi"}}}
    part = resolve(a_cluster(apiServer=wanted)).parts[API_SERVER]
    assert part.resources["requests"]["memory"] == "128Mi"


def test_a_version_that_is_not_known_is_refused_with_what_is() -> None:
    text = refusal(version="1.39.0")
    assert "spec.version: 1.39.0 is not supported; this release knows 1.34 to 1.37" in text


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"apiServer": {"extraArgs": [{"name": "etcd-servers", "value": "https://x"}]}},
            "ManagedFlag: spec.apiServer.extraArgs: etcd-servers is set by the operator",
        ),
        (
            {"controllerManager": {"extraArgs": [{"name": "root-ca-file", "value": "/x"}]}},
            "spec.controllerManager.extraArgs: root-ca-file is set by the operator",
        ),
        (
            {"scheduler": {"extraArgs": [{"name": "leader-elect", "value": "false"}]}},
            "spec.scheduler.extraArgs: leader-elect is set by the operator",
        ),
        (
            {
                "controllerManager": {
                    "extraArgs": [{"name": "concurrent-service-syncs", "value": "2"}]
                }
            },
            "concurrent-service-syncs was removed in 1.37; leave it out",
        ),
        (
            {
                "apiServer": {
                    "extraArgs": [{"name": "feature-gates", "value": "AnyVolumeDataSource=true"}]
                }
            },
            "feature gate AnyVolumeDataSource was removed in 1.37; leave it out",
        ),
        (
            {
                "apiServer": {
                    "extraArgs": [{"name": "enable-admission-plugins", "value": "Nonsense"}]
                }
            },
            "has no admission plugin Nonsense; leave it out",
        ),
        (
            {
                "apiServer": {
                    "extraArgs": [{"name": "disable-admission-plugins", "value": "NodeRestriction"}]
                }
            },
            "NodeRestriction keeps nodes from reading each other's Secrets",
        ),
        (
            {"apiServer": {"extraArgs": [{"name": "anonymous-auth", "value": "false"}]}},
            "spec.apiServer.extraArgs: anonymous-auth is set by the operator",
        ),
        (
            {"apiServer": {"extraArgs": [{"name": "shutdown-delay-duration", "value": "2h"}]}},
            "shutdown-delay-duration: '2h' is not a duration of at most 10m",
        ),
        (
            {"apiServer": {"extraArgs": [{"name": "shutdown-delay-duration", "value": "soon"}]}},
            "write one such as 20s",
        ),
        (
            {"etcd": {"version": "3.5.21"}},
            "spec.etcd.version: etcd 3.5.21 is too old for Kubernetes 1.37.1, which needs 3.5.24 "
            "or later; write 3.6.10",
        ),
    ],
)
def test_arguments_that_cannot_work_are_refused(spec: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(**spec)


def test_the_same_argument_is_fine_where_the_version_knows_it() -> None:
    extra = {"extraArgs": [{"name": "concurrent-service-syncs", "value": "2"}]}
    resolved = resolve(a_cluster(version="1.36.4", controllerManager=extra))
    assert resolved.parts[CONTROLLER_MANAGER].extra_args == (("concurrent-service-syncs", "2"),)


def test_a_users_flag_takes_the_place_of_a_default() -> None:
    line = command_line("prog", {"profiling": "false", "a": "1"}, [("profiling", "true")])
    assert line == ["prog", "--a=1", "--profiling=true"]


def test_a_users_flag_may_be_repeated_and_keeps_its_order() -> None:
    line = command_line("prog", {}, [("x", "2"), ("x", "1")])
    assert line == ["prog", "--x=2", "--x=1"]


def test_admission_plugins_add_to_those_that_must_be_on() -> None:
    ours = {"enable-admission-plugins": "NodeRestriction"}
    line = command_line("prog", ours, [("enable-admission-plugins", "AlwaysPullImages")])
    assert line == ["prog", "--enable-admission-plugins=NodeRestriction,AlwaysPullImages"]


def test_an_etcd_that_is_too_old_is_refused_for_a_new_cluster_and_not_while_it_serves() -> None:
    with pytest.raises(Invalid, match=r"etcd 3\.5\.21 is too old for Kubernetes 1\.37\.1"):
        resolve(a_cluster(), etcd="3.5.21")
    resolve(a_cluster(), etcd="3.5.24")
    resolve(a_cluster(status={"version": "1.37.1"}), etcd="3.5.21")


def test_a_component_gets_only_what_its_own_version_knows() -> None:
    extra = [
        ("concurrent-disruption-syncs", "2"),
        ("feature-gates", "HPAGeneration=true,ImageVolume=true"),
        ("enable-admission-plugins", "NodeDeclaredFeatureValidator"),
        ("v", "2"),
    ]
    later = known(CONTROLLER_MANAGER, extra, "1.37.1")
    assert later == extra
    assert known(CONTROLLER_MANAGER, extra, "1.34.4") == [
        ("feature-gates", "ImageVolume=true"),
        ("v", "2"),
    ]
    assert known(CONTROLLER_MANAGER, extra, "somebody's") == extra
