"""Components of users: what their templates may not do to the operator, each rendered once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.cases import case, seen

from kok.api.component import Component
from kok.operators.machine import reasons
from kok.operators.machine.components import foreign
from kok.operators.machine.components.foreign import Renderer, Templates, ours
from kok.operators.machine.components.rendered import ComponentError, question, rendered
from kok.operators.machine.machines import plan
from kok.operators.machine.machines.steps import Refuse
from kok.runtime.aside import Limits, Unfinished

MACHINE = builders.machine(components=[{"name": "tool", "version": "1.0", "params": {"word": "a"}}])
GIVEN = {"word": "a"}
SURVEY = builders.survey()
ENDLESS = (
    "{% for a in 'x' * 99999 %}{% for b in 'x' * 99999 %}{% endfor %}{% endfor %}",
    "took longer than 2 s",
)
GREEDY = ("{{ 'x' * 10000000000 }}", "took more than 192 MiB of memory")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may have other things to do than to start a process."""
    monkeypatch.setattr(foreign, "LIMITS", Limits(cpu=2, wall=600.0))


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
    found = await templates(Renderer(), component)
    assert found.made
    assert found.question(component, MACHINE, GIVEN) == question(component, MACHINE, GIVEN)
    here = rendered(component, MACHINE, GIVEN, SURVEY)
    assert found.rendered(component, MACHINE, GIVEN, SURVEY) == here


async def test_before_the_host_is_known_there_is_a_question() -> None:
    component = tool()
    found = await Renderer().templates(MACHINE, {"tool": component}, None)
    assert found.question(component, MACHINE, GIVEN).paths == ("/etc/tool/a",)


@pytest.mark.parametrize(("text", "words"), [ENDLESS, GREEDY], ids=["time", "memory"])
async def test_a_template_takes_no_more_than_it_may(text: str, words: str) -> None:
    component = tool(install=text)
    found = await templates(Renderer(), component)
    with pytest.raises(ComponentError, match=f"Component tool-1.0: rendering {words}"):
        found.question(component, MACHINE, GIVEN)


async def test_the_machine_says_what_is_wrong_with_the_templates() -> None:
    component = tool(install=ENDLESS[0])
    given = case(MACHINE, seen(complete=False))
    world = replace(given.world, components={"tool": component})
    found = await templates(Renderer(), component)
    step = plan.decide(replace(given, world=world, templates=found)).step
    assert isinstance(step, Refuse)
    assert step.problem.reason == reasons.COMPONENT_INVALID
    assert "took longer than 2 s; make its templates simpler" in step.problem.message


async def test_what_only_a_host_shows_to_be_wrong_is_said_once_it_is_known() -> None:
    component = tool(install="{{ facts.nothing }}")
    found = await templates(Renderer(), component)
    assert found.question(component, MACHINE, GIVEN).paths
    with pytest.raises(ComponentError, match=r"Component tool-1\.0: scripts\.install"):
        found.rendered(component, MACHINE, GIVEN, SURVEY)


async def test_the_same_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer()
    first = await templates(renderer, tool())

    async def never(*_: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(foreign, "aside", never)
    # Another look at the same host, at another time and with other free space.
    later = builders.survey(facts={"disk": "4000"})
    assert await renderer.templates(MACHINE, {"tool": tool()}, later) == first
    with pytest.raises(AssertionError):
        await templates(renderer, tool(install="echo more"))


async def test_a_process_that_came_to_no_end_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renderer, component = Renderer(), tool()

    async def killed(*_: object) -> None:
        raise Unfinished("ended with -9")

    with monkeypatch.context() as patched:
        patched.setattr(foreign, "aside", killed)
        found = await templates(renderer, component)
        with pytest.raises(ComponentError, match="rendering ended with -9; it is tried again"):
            found.question(component, MACHINE, GIVEN)
    found = await templates(renderer, component)
    assert found.question(component, MACHINE, GIVEN).name == "tool"


async def test_what_comes_with_kok_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "aside", None)
    components = {name: builders.builtin(name) for name in builders.VERSIONS}
    found = await Renderer().templates(builders.machine(), components, SURVEY)
    assert not found.made


@pytest.mark.parametrize("name", sorted(builders.VERSIONS))
def test_a_component_that_only_has_the_name_of_ours_is_not_ours(name: str) -> None:
    ours_ = builders.builtin(name).spec
    assert ours(ours_)
    other = ours_.scripts.model_copy(update={"probe": "{{ 'x' * 10000000000 }}"})
    assert not ours(ours_.model_copy(update={"scripts": other}))
