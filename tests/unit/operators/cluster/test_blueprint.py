"""From a spec to a blueprint, and what is refused on the way."""

from __future__ import annotations

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.operators.cluster.blueprint import blueprint
from kok.operators.cluster.flags import command_line
from kok.operators.cluster.parts import API_SERVER, CONTROLLER_MANAGER, SCHEDULER
from kok.runtime.errors import Invalid


def refusal(**spec: object) -> str:
    with pytest.raises(Invalid) as caught:
        blueprint(a_cluster(**spec))
    return str(caught.value)


@pytest.mark.parametrize(
    ("profile", "members", "replicas"),
    [("edge", 1, (1, 1, 1)), ("standard", 3, (2, 1, 1)), ("ha", 3, (2, 2, 2))],
)
def test_a_profile_sets_the_sizes(
    profile: str, members: int, replicas: tuple[int, int, int]
) -> None:
    plan = blueprint(a_cluster(profile=profile))
    assert plan.profile.members == members
    found = [plan.parts[c].replicas for c in (API_SERVER, CONTROLLER_MANAGER, SCHEDULER)]
    assert tuple(found) == replicas


def test_single_fields_override_the_profile() -> None:
    wanted = {"replicas": 3, "resources": {"requests": {"memory": "1Gi"}}}
    part = blueprint(a_cluster(apiServer=wanted)).parts[API_SERVER]
    assert part.replicas == 3
    assert part.resources == {"requests": {"cpu": "50m", "memory": "1Gi"}}


def test_a_limit_below_the_profiles_request_is_the_request() -> None:
    wanted = {"resources": {"limits": {"memory": "128Mi"}}}
    part = blueprint(a_cluster(apiServer=wanted)).parts[API_SERVER]
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
    ],
)
def test_arguments_that_cannot_work_are_refused(spec: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(**spec)


def test_the_same_argument_is_fine_where_the_version_knows_it() -> None:
    extra = {"extraArgs": [{"name": "concurrent-service-syncs", "value": "2"}]}
    plan = blueprint(a_cluster(version="1.36.4", controllerManager=extra))
    assert plan.parts[CONTROLLER_MANAGER].extra_args == (("concurrent-service-syncs", "2"),)


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
