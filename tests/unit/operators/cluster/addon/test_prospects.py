"""Of each reason that an Addon may have it is said whether it passes by itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.unit.operators.cluster.addon.many.test_rollout import NEW, WAVES, a_world

from kok.operators.cluster import addon, reasons
from kok.operators.cluster.addon.prospects import HOPELESS, PASSING
from kok.runtime.controller import reasons as runtime

PACKAGE = Path(addon.__file__).parent
NO_REASONS = {
    "APPLIED",
    "ENDPOINT_REACHABLE",
    "GAVE_UP",
    "HEALTHY",
    "LEFT_IN_PLACE",
    "OPERATION_BEGUN",
    "OPERATION_FINISHED",
    "PAUSED",
    "READY",
}
"""Types of conditions, and words of events."""


def used() -> dict[str, str]:
    """Reasons that a pass over the Addon of one Cluster names: the constant, and its word."""
    files = [one for one in PACKAGE.rglob("*.py") if "many" not in one.relative_to(PACKAGE).parts]
    assert len(files) > 20
    named = {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "reasons"
    }
    assert "TEMPLATE_INVALID" in named
    return {name: getattr(reasons, name) for name in named - NO_REASONS}


def of_every_kind() -> dict[str, str]:
    """What the runtime says of any object."""
    return {
        name: word
        for name, word in vars(runtime).items()
        if name.isupper() and name not in NO_REASONS
    }


@pytest.mark.parametrize(("name", "word"), sorted({**used(), **of_every_kind()}.items()))
def test_each_reason_passes_or_does_not(name: str, word: str) -> None:
    assert (word in HOPELESS) != (word in PASSING), f"put {name} into one of prospects.py"


def test_nothing_is_told_apart_that_no_addon_says() -> None:
    assert {*used().values(), *of_every_kind().values()} == HOPELESS | PASSING


@pytest.mark.parametrize("reason", sorted(HOPELESS))
def test_a_rollout_stops_at_once_by_what_does_not_pass(reason: str) -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.broken["c3"] = reason
    world.run()
    assert world.why("c3")[0] == reason
    assert world.ready() == ("False", "TooManyFailures")
    assert world.having(**NEW) == {"c3"}


@pytest.mark.parametrize(
    "reason", ["SourceUnreachable", "ConfigMapMissing", "SecretMissing", "RenderingUnfinished"]
)
def test_what_may_pass_has_the_time_of_the_rollout(reason: str) -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.broken["c3"] = reason
    world.run()
    assert world.states()["c3"] == "Upgrading"
    world.broken.clear()
    world.run()
    assert world.having(**NEW) == {f"c{n}" for n in range(5)}
