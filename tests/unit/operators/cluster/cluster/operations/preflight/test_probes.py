"""Pods that try a version before an upgrade: what they are made of, what they tell, and their end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.cluster.builders import NOW, VERSION, a_cluster

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.controlplane import RENDER
from kok.operators.cluster.cluster.operations.preflight import probes
from kok.operators.cluster.cluster.operations.preflight.probe_pods import ProbePods
from kok.operators.cluster.cluster.operations.preflight.probes import Probed
from kok.operators.cluster.cluster.render import probe
from kok.operators.cluster.cluster.spec.resolved import resolve

FULL: dict[str, Any] = {
    "profile": "ha",
    "apiServer": {
        "replicas": 3,
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"tier": "control"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "podAnnotations": {"example.com/note": "yes"},
    },
    "images": {"registry": "mirror.example", "pullSecrets": ["pull"]},
}
QUOTA = (
    'pods "x" is forbidden: exceeded quota: small, requested: requests.memory=320Mi, used: '
    "requests.memory=0, limited: requests.memory=100Mi"
)


def rendered(at: str = VERSION, **spec: Any) -> tuple[list[Manifest], list[Manifest]]:
    """The probes, and the Deployments of the version."""
    resolved = resolve(a_cluster(**spec))
    made = [RENDER[component](resolved, at, "hash") for component in naming.COMPONENTS]
    return probe.probes(resolved, at, made), made


def test_a_probe_asks_for_what_a_pod_of_the_version_would() -> None:
    made, deployments = rendered(**FULL)
    for pod, deployment in zip(made[:3], deployments, strict=True):
        template = deployment["spec"]["template"]["spec"]
        for same in (
            "automountServiceAccountToken",
            "enableServiceLinks",
            "imagePullSecrets",
            "nodeSelector",
            "securityContext",
            "tolerations",
        ):
            assert pod["spec"].get(same) == template.get(same), same
        [ours], [theirs] = pod["spec"]["containers"], template["containers"]
        for same in ("image", "imagePullPolicy", "resources", "securityContext"):
            assert ours[same] == theirs[same], same
        assert ours["command"] == [theirs["name"], "--version"]
        assert pod["spec"]["restartPolicy"] == "Never"
        assert pod["spec"]["activeDeadlineSeconds"] == 300
        assert not {"volumes", "affinity"} & pod["spec"].keys()
        assert not {"volumeMounts", "livenessProbe", "ports"} & ours.keys()
    assert made[0]["metadata"]["annotations"] == {"example.com/note": "yes"}


def test_nothing_that_selects_a_components_pods_selects_a_probe() -> None:
    made, deployments = rendered(**FULL)
    for pod in made:
        labels = pod["metadata"]["labels"].items()
        for deployment in deployments:
            selector = deployment["spec"]["selector"]["matchLabels"]
            assert not selector.items() <= labels
        assert naming.probe_labels("shop").items() <= labels


def test_of_a_tunnel_a_probe_has_nothing() -> None:
    probes, _ = rendered(network={"tunnel": "Always"})
    for pod in probes:
        assert "initContainers" not in pod["spec"]
        assert all("volumeMounts" not in one for one in pod["spec"]["containers"])


def test_a_probe_reaches_nothing() -> None:
    policy = probe.policy(resolve(a_cluster()))
    assert policy["spec"]["podSelector"]["matchLabels"] == naming.probe_labels("shop")
    assert (policy["spec"]["ingress"], policy["spec"]["egress"]) == ([], [])


def test_the_image_comes_to_as_many_nodes_as_there_are_api_servers() -> None:
    made, _ = rendered(**FULL)
    servers = [pod for pod in made if probes.component_of(pod) == naming.API_SERVER]
    assert len(servers) == 3
    assert [probes.is_small(pod["metadata"]["name"]) for pod in servers] == [False, True, True]
    assert len({pod["metadata"]["name"] for pod in servers}) == 3
    for pod in servers:
        [spread] = pod["spec"]["topologySpreadConstraints"]
        assert spread["whenUnsatisfiable"] == "DoNotSchedule"
        assert spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert "matchLabelKeys" not in spread
    for pod in servers[1:]:
        requests = pod["spec"]["containers"][0]["resources"]["requests"]
        assert requests == {"cpu": "10m", "memory": "32Mi"}
        assert "podAffinity" in pod["spec"]["affinity"]
    assert [p["metadata"]["name"].rsplit("-", 3)[0] for p in rendered()[0]] == [
        "shop-apiserver",
        "shop-controller-manager",
        "shop-scheduler",
    ]


def test_another_version_or_spec_is_another_probe() -> None:
    def names(at: str = VERSION, **spec: Any) -> set[str]:
        return {pod["metadata"]["name"] for pod in rendered(at, **spec)[0]}

    assert names() == names()
    assert not names() & names(images={"registry": "mirror.example"})
    assert not names() & names("1.36.4")


def a_pod(
    name: str = "shop-apiserver-probe-0-abc",
    *,
    component: str = naming.API_SERVER,
    state: dict[str, Any] | None = None,
    age: float = 5.0,
    **status: Any,
) -> Manifest:
    """A probe as it is kept."""
    if state is not None:
        image = f"registry.k8s.io/{component}:v{VERSION}"
        status["containerStatuses"] = [{"name": component, "image": image, "state": state}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "uid": f"uid-of-{name}",
            "labels": {naming.LABEL_PROBED: component, naming.LABEL_VERSION: VERSION},
            "creationTimestamp": (NOW - timedelta(seconds=age)).isoformat(),
        },
        "status": status,
    }


HOMELESS = [
    {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }
]


@pytest.mark.parametrize(
    ("pod", "state", "says"),
    [
        (a_pod(), "running", None),
        (a_pod(state={"waiting": {"reason": "ContainerCreating"}}), "running", None),
        (a_pod(state={"terminated": {"exitCode": 0}}), "ended", None),
        (
            a_pod(state={"terminated": {"exitCode": 1, "message": "exec format error"}}),
            "failed",
            "exits with 1: exec format error",
        ),
        (
            a_pod(state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            "failed",
            f"image registry.k8s.io/kube-apiserver:v{VERSION} cannot be pulled: not found",
        ),
        (
            a_pod(state={"waiting": {"reason": "CreateContainerError", "message": "no"}}),
            "failed",
            "cannot start: no",
        ),
        (
            a_pod(conditions=HOMELESS),
            "waits",
            "no meta node takes one more pod of kube-apiserver: 0/3 nodes are available",
        ),
        (
            a_pod(phase="Failed", reason="DeadlineExceeded"),
            "failed",
            "a pod of it failed: DeadlineExceeded",
        ),
        (a_pod(age=400), "failed", "has not started within 6 min"),
    ],
)
def test_what_a_pod_tells_is_understood(pod: Manifest, state: str, says: str | None) -> None:
    seen = probes.look_at(pod, NOW)
    assert seen.state == state
    assert (seen.trouble is None) == (says is None)
    assert seen.trouble is None or says in seen.trouble.message  # type: ignore[operator]


def test_one_that_failed_is_made_anew_after_a_while() -> None:
    broken = {"waiting": {"reason": "ErrImagePull"}}
    assert not probes.look_at(a_pod(state=broken), NOW).again
    assert probes.look_at(a_pod(state=broken, age=90), NOW).again


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("Kubernetes v1.37.1\n", None),
        ("W0102 warning\nKubernetes v1.37.1+vendor.2\n", None),
        ("Kubernetes v1.37.1-eks-1\n", None),
        ("Kubernetes v1.37.10\n", "says v1.37.10, and should be v1.37.1"),
        ("Kubernetes v1.36.4\n", "says v1.36.4, and should be v1.37.1"),
        ("hello\n", "does not say its version"),
    ],
)
def test_a_program_has_to_be_what_its_image_is_called(said: str, says: str | None) -> None:
    trouble = probes.wrong_version(naming.API_SERVER, said, "1.37.1", "image")
    assert (trouble is None) == (says is None)
    assert trouble is None or says in trouble.message  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "message", "check", "error", "says"),
    [
        ("a-probe-0-x", QUOTA, "Room", True, "set spec.apiServer.resources, or change the"),
        ("a-probe-0-x", "violates PodSecurity", "Room", True, "a policy or an admission webhook"),
        ("a-probe-1-x", QUOTA, "Images", False, "is not brought to further nodes"),
        (
            "a-probe-0-x",
            'pods is forbidden: User "kok" cannot create resource "pods"',
            "Room",
            False,
            "the operator may not create pods",
        ),
    ],
)
def test_a_refusal_is_told_with_what_to_do(
    name: str, message: str, check: str, error: bool, says: str
) -> None:
    found = probes.refused(naming.API_SERVER, name, message)
    assert (found.check, found.error) == (check, error)
    assert says in found.message


class Round:
    """Passes over one Cluster, in a meta cluster in memory."""

    def __init__(self, api: FakeApi, kube: Kube, **spec: Any) -> None:
        self.api, self.kube, self.spec = api, kube, spec
        self.wanted, _ = rendered(**spec)
        self.passed: list[str] = []
        self.refuse: set[str] = set()
        self.fails = False
        self.log = f"Kubernetes v{VERSION}\n"
        api.script("POST", "/pods$", self._post)
        api.script("GET", "/log$", self._logs)

    async def _post(self, request: web.Request) -> web.StreamResponse | None:
        body = await request.json()
        if self.fails:
            return refusal(500, "InternalError", "etcdserver: request timed out")
        if probes.component_of(body) in self.refuse:
            return refusal(403, "Forbidden", QUOTA)
        return web.json_response(body, status=201) if "dryRun" in request.query else None

    async def _logs(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.log)

    @property
    def cluster(self) -> Cluster:
        probing = {"version": VERSION, "since": NOW.isoformat(), "passed": self.passed}
        return a_cluster(status={"probes": probing}, **self.spec)

    def there(self) -> list[Manifest]:
        return [m for path, m in self.api.objects.items() if "/pods/" in path]

    def tell(self, component: str, **status: Any) -> None:
        """What becomes of the pods of a component."""
        for pod in self.there():
            if probes.component_of(pod) == component:
                path = f"/api/v1/namespaces/team-a/pods/{pod['metadata']['name']}"
                found = a_pod(component=component, **status)["status"]
                self.api.put(path, {**pod, "status": found})

    async def go(self) -> Probed:
        pods = ProbePods(self.kube, self.cluster, self.there(), NOW)
        await pods.clear({pod["metadata"]["name"] for pod in self.wanted})
        found = await pods.keep(self.wanted)
        self.passed = list(found.passed)
        return found


async def test_those_that_say_their_version_pass_and_go(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube)
    assert len((await passes.go()).pending) == 3
    assert {len(pod["metadata"]["ownerReferences"]) for pod in passes.there()} == {1}
    passes.tell(naming.SCHEDULER, state={"terminated": {"exitCode": 0}})
    found = await passes.go()
    assert (len(found.passed), len(found.pending), found.troubles) == (1, 2, ())
    assert found.waiting_for.endswith("1 of 3 are through")
    for component in naming.COMPONENTS[:2]:
        passes.tell(component, state={"terminated": {"exitCode": 0}})
    found = await passes.go()
    assert (len(found.passed), found.pending, found.waiting_for) == (3, (), "")
    assert len(passes.there()) == 2, "nothing goes before it is recorded that it passed"
    assert (await passes.go()).passed == found.passed
    assert passes.there() == []
    made = len(api.writes)
    assert (await passes.go()).passed == found.passed
    assert len(api.writes) == made, "what passed is not tried again"


async def test_a_wrong_program_is_told(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube)
    passes.log = "Kubernetes v1.20.0\n"
    await passes.go()
    for component in naming.COMPONENTS:
        passes.tell(component, state={"terminated": {"exitCode": 0}})
    found = await passes.go()
    assert {one.check for one in found.troubles} == {"Images"}
    assert (len(found.troubles), found.pending) == (3, ())


async def test_who_is_refused_waits_as_long_as_others_are_there(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube)
    passes.refuse = {naming.SCHEDULER}
    found = await passes.go()
    assert (len(found.pending), found.troubles) == (3, ())
    for component in naming.COMPONENTS[:2]:
        passes.tell(component, state={"terminated": {"exitCode": 0}})
    found = await passes.go()
    found = await passes.go()
    assert found.pending == ()
    [trouble] = found.troubles
    assert (trouble.check, trouble.component) == ("Room", naming.SCHEDULER)


async def test_a_server_that_fails_has_refused_nothing(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube)
    passes.fails = True
    with pytest.raises(KubeError, match="timed out"):
        await passes.go()
    passes.fails = False
    assert (await passes.go()).troubles == ()


async def test_one_without_a_node_waits_as_long_as_others_are_there(
    api: FakeApi, kube: Kube
) -> None:
    passes = Round(api, kube)
    await passes.go()
    passes.tell(naming.SCHEDULER, conditions=HOMELESS)
    assert (await passes.go()).troubles == ()
    for component in naming.COMPONENTS[:2]:
        passes.tell(component, state={"waiting": {"reason": "ErrImagePull"}})
    found = await passes.go()
    assert found.pending == ()
    assert {(one.check, one.component) for one in found.troubles} == {
        ("Images", naming.API_SERVER),
        ("Images", naming.CONTROLLER_MANAGER),
        ("Room", naming.SCHEDULER),
    }


async def test_those_that_are_not_wanted_go(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube)
    await passes.go()
    kept = passes.wanted[0]["metadata"]["name"]
    await ProbePods(kube, passes.cluster, passes.there(), NOW).clear({kept})
    assert [pod["metadata"]["name"] for pod in passes.there()] == [kept]


async def test_a_dry_run_asks_and_makes_nothing(api: FakeApi, kube: Kube) -> None:
    passes = Round(api, kube, **FULL)
    passes.refuse = {naming.API_SERVER}
    found = await ProbePods(kube, passes.cluster, (), NOW).ask(passes.wanted)
    assert [one.component for one in found.troubles] == [naming.API_SERVER]
    assert not found.tried
    assert passes.there() == []
    assert len(api.writes) == 3
