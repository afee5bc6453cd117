"""Components of users: what their templates may not do to the operator, each rendered once."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import machine_view, seen

from kok.api.machine.component import Component
from kok.operators.machine import reasons
from kok.operators.machine.component.render import ComponentError, question, rendered
from kok.operators.machine.component.sandboxed import Checker, Renderer, Templates, ours
from kok.operators.machine.machine import decide
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, Unfinished, run_limited

PATIENT = Limits(cpu=2, wall=600.0)
"""The machine may have other things to do than to start a process."""
MACHINE = builders.machine(components=[{"name": "tool", "version": "1.0", "params": {"word": "a"}}])
GIVEN = {"word": "a"}
SURVEY = builders.survey()
ENDLESS = (
    "{% for a in 'x' * 99999 %}{% for b in 'x' * 99999 %}{% endfor %}{% endfor %}",
    "took longer than 2 s",
)
GREEDY = ("{{ 'x' * 10000000000 }}", "took more than 96 MiB of memory")


def tool(install: str = "echo {{ params.word }} {{ facts.arch }}", **spec: Any) -> Component:
    """A Component of a user's."""
    file = {"path": "/etc/tool/{{ params.word }}", "content": "{{ machine.node }}"}
    artifacts = [{"name": "t", "path": "t.tgz", "url": "http://t.example/t", "sha256": "ab" * 32}]
    scripts = {"install": install, "uninstall": "true"}
    return builders.component(scripts=scripts, files=[file], artifacts=artifacts, **spec)


async def templates(renderer: Renderer, component: Component) -> Templates:
    """As a pass gets them once it knows the host."""
    return await renderer.templates(MACHINE, {"tool": component}, SURVEY)


async def test_a_users_component_comes_out_as_it_would_in_the_operator() -> None:
    component = tool(dependsOn=["runc"])
    found = await templates(Renderer(SandboxPool(limits=PATIENT)), component)
    assert found.made
    assert found.question(component, MACHINE, GIVEN) == question(component, MACHINE, GIVEN)
    here = rendered(component, MACHINE, GIVEN, SURVEY)
    assert found.rendered(component, MACHINE, GIVEN, SURVEY) == here


async def test_before_the_host_is_known_there_is_a_question() -> None:
    component = tool()
    found = await Renderer(SandboxPool(limits=PATIENT)).templates(
        MACHINE, {"tool": component}, None
    )
    assert found.question(component, MACHINE, GIVEN).paths == ("/etc/tool/a",)


async def test_a_component_that_no_machine_can_use_says_so() -> None:
    component = tool(parameters={"default": "\U0001f600" * 500_000})
    assert "more than 4 MiB of memory" in await Checker(SandboxPool(limits=PATIENT)).problem(
        component
    )


async def test_what_one_machines_components_come_to_is_bounded() -> None:
    """A few lines of template may make megabytes."""
    software = [{"name": f"c{i}", "version": "1", "params": GIVEN} for i in range(3)]
    machine = builders.machine(components=software)
    components = {
        name: tool("{{ 'x' * 1900000 }}", name=name, version="1") for name in ("c0", "c1", "c2")
    }
    found = await Renderer(SandboxPool(limits=PATIENT)).templates(machine, components, SURVEY)
    made = [found.made[f"c{i}-1"] for i in range(3)]
    assert [one.rendered is not None for one in made] == [True, True, False]
    assert "more than 4 MiB of memory" in made[2].error


@pytest.mark.parametrize(("text", "words"), [ENDLESS, GREEDY], ids=["time", "memory"])
async def test_a_template_takes_no_more_than_it_may(text: str, words: str) -> None:
    component = tool(install=text)
    found = await templates(Renderer(SandboxPool(limits=PATIENT)), component)
    with pytest.raises(ComponentError, match=re.escape(f"Component tool-1.0: rendering {words}")):
        found.question(component, MACHINE, GIVEN)


async def test_the_machine_says_what_is_wrong_with_the_templates() -> None:
    component = tool(install=ENDLESS[0])
    given = machine_view(MACHINE, seen(complete=False))
    world = replace(given.objects, components={"tool": component})
    found = await templates(Renderer(SandboxPool(limits=PATIENT)), component)
    step = decide.decide(replace(given, objects=world, templates=found)).step
    assert step.refusal is not None
    assert step.refusal.reason == reasons.COMPONENT_INVALID
    assert "took longer than 2 s; make its templates simpler" in step.refusal.message


async def test_what_only_a_host_shows_to_be_wrong_is_said_once_it_is_known() -> None:
    component = tool(install="{{ facts.nothing }}")
    found = await templates(Renderer(SandboxPool(limits=PATIENT)), component)
    assert found.question(component, MACHINE, GIVEN).paths
    with pytest.raises(ComponentError, match=r"Component tool-1\.0: scripts\.install"):
        found.rendered(component, MACHINE, GIVEN, SURVEY)


async def test_the_same_is_rendered_once() -> None:
    run: Any = run_limited

    async def counted(*given: Any) -> Any:
        return await run(*given)

    async def never(*_: object) -> Any:
        raise AssertionError("rendered again")

    renderer = Renderer(SandboxPool(run=counted, limits=PATIENT))
    first = await templates(renderer, tool())
    run = never
    # Another look at the same host, at another time and with other free space.
    later = builders.survey(facts={"disk": "4000"})
    assert await renderer.templates(MACHINE, {"tool": tool()}, later) == first
    with pytest.raises(AssertionError):
        await templates(renderer, tool(install="echo more"))


async def test_a_process_that_came_to_no_end_is_tried_again() -> None:
    kills = [Unfinished("ended with -9")]

    async def killed_once(*given: Any) -> Any:
        if kills:
            raise kills.pop()
        return await run_limited(*given)

    renderer, component = Renderer(SandboxPool(run=killed_once, limits=PATIENT)), tool()
    found = await templates(renderer, component)
    with pytest.raises(ComponentError, match="rendering ended with -9; it is tried again"):
        found.question(component, MACHINE, GIVEN)
    found = await templates(renderer, component)
    assert found.question(component, MACHINE, GIVEN).name == "tool"


async def test_what_comes_with_kok_needs_no_process_unless_its_parameters_are_huge() -> None:
    asked: list[str] = []

    async def noted(function: Any, job: Any, limits: Limits) -> Any:
        asked.append(job.component.spec.name)
        return await run_limited(function, job, limits)

    components = {name: builders.builtin(name) for name in builders.VERSIONS}
    renderer = Renderer(SandboxPool(run=noted, limits=PATIENT))
    found = await renderer.templates(builders.machine(), components, SURVEY)
    assert not found.made

    machine = builders.machine()
    kubelet = next(c for c in machine.spec.components if c.name == "kubelet")
    kubelet.params["config"] = {f"field{n}": "x" * 50 for n in range(3000)}
    found = await renderer.templates(machine, components, SURVEY)
    assert asked == ["kubelet"]
    component = components["kubelet"]
    assert found.rendered(component, machine, kubelet.params, SURVEY) == rendered(
        component, machine, kubelet.params, SURVEY
    )


PATHOLOGICAL = {"type": "object", "properties": {"word": {"pattern": "^(a+)+$"}}}
"""Backtracking that doubles with each letter."""


async def test_a_schema_whose_pattern_never_ends_stops_nobody() -> None:
    component = tool(parameters=PATHOLOGICAL)
    machine = builders.machine(
        components=[{"name": "tool", "version": "1.0", "params": {"word": "a" * 60 + "!"}}]
    )
    found = await Renderer(SandboxPool(limits=PATIENT)).templates(
        machine, {"tool": component}, SURVEY
    )
    with pytest.raises(ComponentError, match="took longer than 2 s"):
        found.question(component, machine, {"word": "a" * 60 + "!"})


async def test_a_component_is_checked_aside_and_once() -> None:
    asked: list[str] = []

    async def noted(function: Any, component: Any, limits: Limits) -> Any:
        asked.append(component.name)
        return await run_limited(function, component, limits)

    checker = Checker(SandboxPool(run=noted, limits=PATIENT))
    deep = tool(install="{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", version="2.0")
    for _ in range(2):
        assert await checker.problem(tool()) == ""
        assert "spec.scripts.install: it is nested too deeply" in await checker.problem(deep)
        assert await checker.problem(builders.builtin("kubelet")) == ""
    assert asked == ["tool-1.0", "tool-2.0"]


@pytest.mark.parametrize("name", sorted(builders.VERSIONS))
def test_a_component_that_only_has_the_name_of_ours_is_not_ours(name: str) -> None:
    ours_ = builders.builtin(name).spec
    assert ours(ours_)
    other = ours_.scripts.model_copy(update={"probe": "{{ 'x' * 10000000000 }}"})
    assert not ours(ours_.model_copy(update={"scripts": other}))


async def test_parameters_and_schemas_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    machine = builders.machine()
    kubelet = next(c for c in machine.spec.components if c.name == "kubelet")
    kubelet.params["config"] = deep
    component = builders.builtin("kubelet")
    found = await Renderer(SandboxPool(limits=PATIENT)).templates(
        machine, {"kubelet": component}, SURVEY
    )
    with pytest.raises(ComponentError, match="its params are nested deeper than 64 levels"):
        found.question(component, machine, kubelet.params)
    problem = await Checker(SandboxPool(limits=PATIENT)).problem(tool(parameters=deep))
    assert problem == "spec.parameters is nested deeper than 64 levels; make them flatter"
