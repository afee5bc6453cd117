"""Templates of users: what they may not do to the operator, and that each is rendered once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import a_cluster

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster.addon.bundle import Bundle, BundleRenderer, BundleSettings
from kok.operators.cluster.addon.context import TemplateContext, context_of
from kok.runtime.clock import settle
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, Unfinished, run_limited

CONFIGMAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {text: "{{ values.word }}", since: %s}
"""
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)


PATIENT = Limits(cpu=2, wall=600.0)
"""The machine may have other things to do than to start a process."""


def renderer(run: Any = run_limited, **settings: Any) -> BundleRenderer:
    return BundleRenderer(SandboxPool(run=run, limits=PATIENT), BundleSettings(**settings))


@pytest.fixture
async def kube() -> Any:
    """A client that nobody answers: the templates stand in the Addon."""
    server = await FakeApi().start()
    async with await Kube.from_kubeconfig(server.kubeconfig(), field_manager="test") as client:
        yield client
    await server.close()


def context() -> TemplateContext:
    """Those of some cluster."""
    found = context_of(a_cluster(status={"endpoint": "https://192.0.2.10:31443"}))
    assert found is not None
    return found


def addon(text: str, **values: Any) -> Addon:
    """An Addon of a user's."""
    spec = {"cluster": "shop", "source": {"inline": text}, "values": values}
    return Addon.parse({"metadata": {"name": "mine", "namespace": "ns"}, "spec": spec})


async def made(kube: Kube, bundles: BundleRenderer, text: str, **values: Any) -> list[Manifest]:
    """What the templates come to."""
    return (await bundles.bundle(kube, addon(text, **values), context())).manifests


async def test_a_users_templates_are_rendered_and_a_date_stays_a_text(kube: Kube) -> None:
    (manifest,) = await made(kube, renderer(), CONFIGMAP % "2026-01-01", word="hello")
    assert manifest["data"] == {"text": "hello", "since": "2026-01-01"}
    assert manifest["metadata"]["labels"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ 'x' * 10000000000 }}", "took more than 96 MiB of memory"),
        (f"{CONFIGMAP % 1}\n{LAUGHS}", "more than 200000 values"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "took longer than 2 s",
        ),
    ],
    ids=["memory", "aliases", "time"],
)
async def test_a_template_takes_no_more_than_it_may(kube: Kube, text: str, words: str) -> None:
    bundles = renderer()
    with pytest.raises(Invalid, match=words) as caught:
        await made(kube, bundles, text, word="")
    assert caught.value.reason == "TemplateInvalid"


async def test_the_same_templates_are_rendered_once(
    kube: Kube,
) -> None:
    run: Any = run_limited

    async def counted(*given: Any) -> Any:
        return await run(*given)

    async def never(*_: object) -> Any:
        raise AssertionError("rendered again")

    bundles = renderer(counted)
    first = await made(kube, bundles, CONFIGMAP % "1", word="hello")
    with pytest.raises(Invalid):
        await made(kube, bundles, "{{ nothing }}")
    run = never
    assert await made(kube, bundles, CONFIGMAP % "1", word="hello") == first
    with pytest.raises(Invalid):
        await made(kube, bundles, "{{ nothing }}")
    with pytest.raises(AssertionError):
        await made(kube, bundles, CONFIGMAP % "1", word="bye")


async def test_a_process_that_came_to_no_end_is_tried_again(
    kube: Kube,
) -> None:
    async def killed(*_: object) -> None:
        raise Unfinished("ended with -9")

    with pytest.raises(Wait, match="rendering ended with -9; it is tried again") as caught:
        await made(kube, renderer(killed), CONFIGMAP % "1")
    assert caught.value.reason == "RenderingUnfinished"


async def test_what_runs_into_itself_is_not_rendered_again(kube: Kube) -> None:
    tries = 0

    async def counted(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        return await run_limited(*given)

    bundles = renderer(counted)
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {self: *d}"
    for _ in range(3):
        with pytest.raises(Invalid, match="more than 200000 values"):
            await made(kube, bundles, text)
    assert tries == 1


async def test_a_built_in_addon_with_huge_values_is_rendered_aside(kube: Kube) -> None:
    asked: list[str] = []

    async def noted(function: Any, argument: Any, limits: Limits) -> Any:
        asked.append(argument.addon)
        return await run_limited(function, argument, limits)

    bundles = renderer(noted)

    def coredns(kinds: int) -> Addon:
        values = {"resources": {"requests": {f"example.com/thing-{n}": "1" for n in range(kinds)}}}
        spec = {"cluster": "shop", "source": {"builtin": "coredns"}, "values": values}
        return Addon.parse({"metadata": {"name": "dns", "namespace": "ns"}, "spec": spec})

    small = await bundles.bundle(kube, coredns(3), context())
    assert asked == []
    large = await bundles.bundle(kube, coredns(3000), context())
    assert asked == ["dns"]
    assert [m["kind"] for m in large.manifests] == [m["kind"] for m in small.manifests]
    assert large.version == small.version


async def test_values_without_end_are_refused(kube: Kube) -> None:
    values: dict[str, Any] = {}
    for _ in range(100):
        values = {"a": values}
    with pytest.raises(Invalid, match=r"spec\.values is nested deeper than 64 levels") as caught:
        await made(kube, renderer(), CONFIGMAP % "1", **values)
    assert caught.value.reason == "ValuesInvalid"


def large(namespace: str, name: str) -> Addon:
    """An Addon that comes to more than half a megabyte."""
    text = CONFIGMAP % "1" + "# {{ values.word }}\n"
    values = {"word": "x" * 600_000}
    spec = {"cluster": "shop", "source": {"inline": text}, "values": values}
    return Addon.parse({"metadata": {"name": name, "namespace": namespace}, "spec": spec})


async def test_of_large_bundles_a_namespace_has_one_in_memory(kube: Kube) -> None:
    async def rendered(_function: Any, job: Any, _limits: Limits) -> Any:
        return {"manifests": [{"kind": job.addon, "data": job.values["word"]}]}

    bundles = renderer(rendered, large_at_once=2)
    inside: list[str] = []
    leave = asyncio.Event()

    async def work(addon: Addon) -> None:
        async with bundles.work(kube, addon, context()) as found, bundles.rendered(addon, found):
            inside.append(addon.name)
            await leave.wait()

    asked = [large("loud", "a"), large("loud", "b"), large("loud", "c"), large("quiet", "d")]
    tasks = [asyncio.create_task(work(one)) for one in asked]
    tasks.append(asyncio.create_task(work(addon(CONFIGMAP % "1", word="small"))))
    await settle(200)
    assert sorted(inside) == ["a", "d", "mine"]
    leave.set()
    await asyncio.gather(*tasks)
    assert sorted(inside) == ["a", "b", "c", "d", "mine"]


async def test_a_large_bundle_whose_cluster_is_slow_makes_room_for_those_of_others(
    kube: Kube,
) -> None:
    async def rendered(_function: Any, job: Any, _limits: Limits) -> Any:
        return {"manifests": [{"kind": job.addon, "data": job.values["word"]}]}

    bundles = renderer(rendered, large_at_once=1, span=0.0)
    inside = asyncio.Event()

    async def hang() -> None:
        slow = large("slow", "a")
        async with bundles.work(kube, slow, context()) as found, bundles.rendered(slow, found):
            inside.set()
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await inside.wait()
    quiet = large("quiet", "b")
    async with (
        bundles.work(kube, quiet, context()) as found,
        bundles.rendered(quiet, found) as bundle,
    ):
        assert bundle.manifests[0]["kind"] == "b"
    with pytest.raises(Wait, match="its next turn comes by itself") as caught:
        await hanging
    assert caught.value.reason == "WaitingForRoom"


def test_a_bundle_is_large_by_its_bytes_or_by_its_values() -> None:
    def is_large(data: Any) -> bool:
        return Bundle([{"data": data}], None).large

    assert is_large("x" * 600_000)
    assert is_large([[[]]] * 40_000)
    assert not is_large(["x" * 100] * 1000)


async def test_what_it_is_made_of_is_told_apart_and_nothing_is_rendered(kube: Kube) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("it is rendered")

    bundles = renderer(never)

    async def digest(at: TemplateContext, **values: Any) -> str:
        async with bundles.work(kube, addon(CONFIGMAP % "1", **values), at) as work:
            return work.digest

    seen = [await digest(context(), word=word) for word in "aab"]
    assert seen[0] == seen[1] != seen[2]
    other = replace(context(), version="1.36.0")
    assert await digest(other, word="a") not in seen
