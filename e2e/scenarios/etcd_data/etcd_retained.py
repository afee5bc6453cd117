"""An EtcdCluster is deleted and its volumes stay; one of the same name must not take them by accident.

A writer writes before and after. What lies on the volumes is touched only when somebody names the
etcd cluster whose data it is; then all of it is there.
"""

from __future__ import annotations

from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Writer, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-retained"
ADOPT = "kok.dev/adopt-volumes"
NOBODYS = "0123456789abcdef"


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with (
        environment(report, meta=1, workers=0) as w,
        enough_rights(w),
        etcd.fresh_namespaces(w, NAMESPACE),
    ):
        with report.step("three members from nothing", "create_s"):
            first = await etcd.create(w, NAMESPACE, deletionPolicy="Retain")
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            await writer.goes_on(200)
            volumes = await deleted(w)
            await not_touched(w, first, volumes)
            await adopted(w, writer, first, volumes)
            await read_back(w, writer)


async def claims(w: Environment) -> dict[str, str]:
    """The volumes that there are, by name, and the version in which the API server has each."""
    found = await w.kube.list(kinds.PVC, NAMESPACE)
    return {m["metadata"]["name"]: m["metadata"]["resourceVersion"] for m in found}


async def deleted(w: Environment) -> dict[str, str]:
    """Deletes the EtcdCluster; the volumes that are left."""
    with w.report.step("the EtcdCluster is deleted, its volumes stay", "delete_s"):
        await w.kube.delete(etcd.KIND, etcd.NAME, NAMESPACE)
        await w.gone(etcd.KIND, NAMESPACE, etcd.NAME, etcd.LONG)
        for pod in [etcd.pod(f"{etcd.NAME}-{number}") for number in range(3)]:
            await w.gone(kinds.POD, NAMESPACE, pod, etcd.LONG)
    left = await claims(w)
    if sorted(left) != [f"{etcd.NAME}-{number}" for number in range(3)]:
        raise AssertionError(f"of three volumes these were retained: {sorted(left)}")
    return left


async def not_touched(w: Environment, first: Manifest, volumes: dict[str, str]) -> None:
    """One of the same name says whose volumes these are, and makes nothing of them."""
    cluster_id = first["status"]["clusterID"]
    with w.report.step("one of the same name waits and says why", "told_s"):
        await w.apply(etcd.manifest(NAMESPACE))
        said = etcd.says("Ready", "False", "RetainedVolumes")
        told = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, said, etcd.SOON)
        if f"{ADOPT}={cluster_id}" not in etcd.sentence(told, "Ready"):
            raise AssertionError(f"it does not say how to go on: {etcd.sentence(told, 'Ready')}")
    with w.report.step("the ID of another etcd cluster changes nothing"):
        await consent(w, NOBODYS)

        def refused(obj: Manifest) -> bool:
            return said(obj) and NOBODYS in etcd.sentence(obj, "Ready")

        await w.until(etcd.KIND, NAMESPACE, etcd.NAME, refused, etcd.SOON)
    now = await claims(w)
    if now != volumes:
        raise AssertionError(f"the retained volumes were touched: {volumes} became {now}")
    if made := await w.kube.list(kinds.STATEFULSET, NAMESPACE):
        raise AssertionError(f"something was made: {[m['metadata']['name'] for m in made]}")


async def adopted(w: Environment, writer: Writer, first: Manifest, volumes: dict[str, str]) -> None:
    """With consent it goes on as the same etcd cluster, member by member."""
    with w.report.step("with consent it goes on with them", "adopt_s"):
        await consent(w, first["status"]["clusterID"])
        again = await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    same = {m["name"]: m["id"] for m in first["status"]["members"]}
    if {m["name"]: m["id"] for m in again["status"]["members"]} != same:
        raise AssertionError(f"the members were {same}, and are {again['status']['members']}")
    if again["status"]["clusterID"] != first["status"]["clusterID"]:
        raise AssertionError("it became another etcd cluster")
    if sorted(await claims(w)) != sorted(volumes):
        raise AssertionError("it made volumes of its own")


async def consent(w: Environment, cluster_id: str) -> None:
    """The annotation that lets it go on."""
    patch = {"metadata": {"annotations": {ADOPT: cluster_id}}}
    await w.kube.patch(etcd.KIND, etcd.NAME, NAMESPACE, patch)
