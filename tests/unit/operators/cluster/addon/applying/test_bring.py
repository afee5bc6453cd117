"""One object of an addon, beside others who write there."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.api.cluster.addon import IgnoredFields
from kok.api.meta import Manifest
from kok.kube.apply.serverside import INTENT
from kok.kube.client import Kube
from kok.operators.cluster.addon.applying.bring import (
    Brought,
    ObjectOwned,
    ObjectTaken,
    Terms,
    bring,
)
from kok.operators.cluster.addon.health import Lagging
from kok.operators.cluster.businesscluster.apply import Refused

PATH = "/apis/apps/v1/namespaces/web/deployments/app"
OURS = {"kok.dev/addon": "mine"}
MINE = Terms("mine")
REPLICAS = IgnoredFields(kind="Deployment", paths=["/spec/replicas"])


def an_app(replicas: int = 2, image: str = "a") -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": "web", "labels": OURS},
        "spec": {"replicas": replicas, "paused": False, "image": image},
    }


def changed(api: FakeApi, **spec: Any) -> None:
    """Somebody writes into the spec."""
    live = api.objects[PATH]
    record = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z"}
    meta = {**live["metadata"], "managedFields": [record]}
    api.put(PATH, {**live, "metadata": meta, "spec": {**live["spec"], **spec}})


async def brought(kube: Kube, intent: Manifest, terms: Terms = MINE) -> Brought:
    found = await bring(kube, intent, terms)
    assert isinstance(found, Brought)
    return found


async def test_what_is_as_it_should_be_is_not_written(api: FakeApi, kube: Kube) -> None:
    await brought(kube, an_app())
    count = len(api.writes)
    await brought(kube, an_app())
    assert len(api.writes) == count == 1


async def test_what_somebody_changed_is_put_right(api: FakeApi, kube: Kube) -> None:
    await brought(kube, an_app())
    changed(api, replicas=5)
    assert (await brought(kube, an_app())).fought is None
    assert api.objects[PATH]["spec"]["replicas"] == 2


async def test_who_changes_it_again_and_again_is_named_and_gets_his_way(
    api: FakeApi, kube: Kube
) -> None:
    await brought(kube, an_app())
    for _ in range(5):
        changed(api, replicas=5)
        found = await brought(kube, an_app())
    assert found.fought is not None
    changed(api, replicas=5)
    found = await brought(kube, an_app())
    assert found.fought is not None
    assert found.fought.startswith(
        '"kubectl-edit" changes spec.replicas of Deployment web/app again and again'
    )
    assert 0 < found.patience <= 601
    assert api.objects[PATH]["spec"]["replicas"] == 5


async def test_what_we_want_otherwise_is_no_fight(api: FakeApi, kube: Kube) -> None:
    for replicas in range(1, 20):
        found = await brought(kube, an_app(replicas))
        assert found.fought is None
        assert api.objects[PATH]["spec"]["replicas"] == replicas


async def test_fields_that_others_decide_on_are_written_once(api: FakeApi, kube: Kube) -> None:
    terms = Terms("mine", ignored=[REPLICAS])
    await brought(kube, an_app(2), terms)
    assert api.objects[PATH]["spec"]["replicas"] == 2
    changed(api, replicas=7)
    count = len(api.writes)
    await brought(kube, an_app(2), terms)
    await brought(kube, an_app(3), terms)
    assert len(api.writes) == count

    # A change of the rest leaves it as it is.
    await brought(kube, an_app(2, "b"), terms)
    spec = api.objects[PATH]["spec"]
    assert (spec["replicas"], spec["image"]) == (7, "b")


@pytest.mark.parametrize("path", ["/metadata/annotations", "/metadata/annotations/*"])
async def test_marks_of_ours_are_not_left_to_others(api: FakeApi, kube: Kube, path: str) -> None:
    paths = [path, "/metadata/labels"]
    terms = Terms("mine", ignored=[IgnoredFields(kind="Deployment", paths=paths)])
    api.put(PATH, {**an_app(), "metadata": {"name": "app", "namespace": "web", "uid": "u"}})
    for replicas in range(1, 20):
        found = await brought(kube, an_app(replicas), terms)
        assert found.fought is None
    live = api.objects[PATH]
    assert live["spec"]["replicas"] == 19
    assert live["metadata"]["labels"]["kok.dev/addon"] == "mine"
    assert INTENT in live["metadata"]["annotations"]


@pytest.mark.parametrize("path", ["/metadata/annotations", "/metadata/annotations/*"])
async def test_annotations_that_somebody_removes_from_ours_hinder_nothing(
    api: FakeApi, kube: Kube, path: str
) -> None:
    terms = Terms("mine", ignored=[IgnoredFields(kind="Deployment", paths=[path])])
    await brought(kube, an_app(1), terms)
    for replicas in range(2, 20):
        # Our own changes are no drift, whoever has a hand in the annotations.
        assert (await brought(kube, an_app(replicas), terms)).fought is None
        assert api.objects[PATH]["spec"]["replicas"] == replicas
    live = api.objects[PATH]
    meta = {key: value for key, value in live["metadata"].items() if key != "annotations"}
    api.put(PATH, {**live, "metadata": {**meta, "annotations": {"theirs": "1"}}})
    await brought(kube, an_app(19), terms)
    notes = api.objects[PATH]["metadata"]["annotations"]
    assert notes["theirs"] == "1"
    assert INTENT in notes
    count = len(api.writes)
    await brought(kube, an_app(19), terms)
    assert len(api.writes) == count


@pytest.mark.parametrize("path", ["/metadata/labels", "/metadata/labels/*"])
async def test_an_object_whose_labels_are_left_to_others_becomes_ours(
    api: FakeApi, kube: Kube, path: str
) -> None:
    terms = Terms("mine", ignored=[IgnoredFields(kind="Deployment", paths=[path])])
    meta = {"name": "app", "namespace": "web", "uid": "u", "labels": {"team": "theirs"}}
    api.put(PATH, {**an_app(), "metadata": meta})
    await brought(kube, an_app(), terms)
    assert api.objects[PATH]["metadata"]["labels"] == {"team": "theirs", **OURS}
    with pytest.raises(ObjectTaken):
        await bring(kube, an_app(), Terms("thief"))


async def test_an_object_that_is_left_to_others_is_made_once(api: FakeApi, kube: Kube) -> None:
    terms = Terms("mine", ignored=[IgnoredFields(kind="Deployment")])
    await brought(kube, an_app(), terms)
    changed(api, replicas=7, image="mine")
    await brought(kube, an_app(2, "b"), terms)
    assert api.objects[PATH]["spec"]["image"] == "mine"
    api.drop(PATH)
    await brought(kube, an_app(2, "b"), terms)
    assert api.objects[PATH]["spec"]["image"] == "b"


async def test_what_changed_since_it_was_looked_at_is_looked_at_again(
    api: FakeApi, kube: Kube
) -> None:
    terms = Terms("mine", ignored=[REPLICAS])
    await brought(kube, an_app(), terms)
    raced = 0

    async def race(request: web.Request) -> web.Response | None:
        nonlocal raced
        raced += 1
        if raced == 1:
            changed(api, replicas=9)
        return None

    api.script("PATCH", PATH, race)
    await brought(kube, an_app(2, "b"), terms)
    spec = api.objects[PATH]["spec"]
    assert (raced, spec["replicas"], spec["image"]) == (2, 9, "b")


async def test_what_others_set_before_it_was_ours_is_not_taken_from_them(
    api: FakeApi, kube: Kube
) -> None:
    foreign = an_app(5)
    foreign["metadata"] = {"name": "app", "namespace": "web"}
    api.put(PATH, foreign)

    async def conflict(request: web.Request) -> web.Response | None:
        if request.query["force"] == "true":
            return None
        cause = {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "helm" using apps/v1',
            "field": ".spec.replicas",
        }
        return refusal(409, "Conflict", "Apply failed with 1 conflict", {"causes": [cause]})

    api.script("PATCH", PATH, conflict)
    with pytest.raises(ObjectOwned) as told:
        await bring(kube, an_app(), MINE)
    assert told.value.message == (
        'Deployment web/app was there before, and "helm" sets .spec.replicas of it; delete the '
        "object, leave it out, name these fields in spec.ignore, or hand it over by giving it the "
        "label kok.dev/addon=mine"
    )
    # As the sentence says.
    live = api.objects[PATH]
    api.put(PATH, {**live, "metadata": {**live["metadata"], "labels": OURS}})
    await brought(kube, an_app())
    assert api.objects[PATH]["spec"]["replicas"] == 2


async def test_what_another_addon_applies_is_left_alone(api: FakeApi, kube: Kube) -> None:
    await brought(kube, an_app())
    with pytest.raises(ObjectTaken, match="Deployment web/app already belongs to Addon mine"):
        await bring(kube, an_app(9), Terms("thief"))
    assert api.objects[PATH]["spec"]["replicas"] == 2
    await brought(kube, an_app(9), Terms("heir", gone={"mine"}))
    assert api.objects[PATH]["spec"]["replicas"] == 9


async def test_a_job_that_goes_when_it_has_ended_is_not_run_again(api: FakeApi, kube: Kube) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "web", "labels": OURS},
        "spec": {"ttlSecondsAfterFinished": 60},
    }
    found = await brought(kube, job)
    assert found.health == Lagging("Job once", "it has not ended yet", failed=False)
    api.drop("/apis/batch/v1/namespaces/web/jobs/once")
    assert await brought(kube, job, Terms("mine", settled=True)) == Brought()
    assert "/apis/batch/v1/namespaces/web/jobs/once" not in api.objects


async def test_what_is_refused_is_told_with_the_object(api: FakeApi, kube: Kube) -> None:
    async def no(_request: web.Request) -> web.Response:
        return refusal(422, "Invalid", "spec.replicas: must be a number")

    api.script("PATCH", PATH, no)
    found = await bring(kube, an_app(), MINE)
    assert isinstance(found, Refused)
    assert str(found) == "Deployment web/app: spec.replicas: must be a number"
