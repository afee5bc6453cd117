"""Objects of too many values lose the largest fields, and nobody takes them for what they were."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import from_json

from kok.kube.budget.limits import MIB, weight
from kok.kube.decoding.truncation import (
    ANYTHING,
    FREE_FORM,
    MOST,
    refuse_truncated,
    truncated,
    truncated_paths,
)
from kok.kube.errors import TooManyValues

CRDS = Path(__file__).parents[4] / "crds"


def addon(values: Any, **spec: Any) -> dict[str, Any]:
    """An Addon as an API server has it."""
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Addon",
        "metadata": {
            "name": "a",
            "namespace": "t",
            "labels": {"odd,{[": 'x"},{'},
            "finalizers": ["kok.dev/cluster-operator"],
        },
        "spec": {"cluster": "c", "source": {"inline": "x"}, "values": values, **spec},
        "status": {"inventory": [{"kind": "Pod", "name": str(n)} for n in range(500)]},
    }


def written(found: Any) -> bytes:
    """JSON as an API server writes it."""
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()


HOSTILE = {
    "empty maps": [{}] * 450_000,
    "numbers": [1] * 600_000,
    "short texts": ["}"] * 300_000,
    "a map": {f"k{n}": 0 for n in range(120_000)},
    "nests": [[[[[[[[[]]]]]]]]] * 70_000,
    "empty names": [{"": []}] * 150_000,
}


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
async def test_what_is_too_much_is_taken_out_and_all_the_rest_stays(values: Any) -> None:
    whole = addon({"deep": values})
    text = await truncated(written(whole))
    found = json.loads(text)
    assert weight(text) < MIB
    assert truncated_paths(found) == ["spec.values"]
    assert found["spec"].pop("values") == {}
    del whole["spec"]["values"]
    assert {key: found[key] for key in whole} == whole


@pytest.mark.parametrize(
    "values",
    [
        {f"chart{n}": {"image": "x", "args": ["a", "b"], "on": True} for n in range(2000)},
        {"text": "a,{[:\n" * 150_000},
        {"text": '"\\' * 200_000},
        [0] * (MOST - 3000),
    ],
    ids=["charts", "a long text", "a text of quotes", "just not too many"],
)
async def test_honest_objects_stay_as_they_are(values: Any) -> None:
    text = written(addon(values))
    assert await truncated(text) == text


async def test_no_more_is_taken_out_than_needs_be() -> None:
    machine = {
        "kind": "Machine",
        "metadata": {"name": "m"},
        "spec": {
            "address": "192.0.2.1",
            "components": [
                {"name": "small", "version": "1", "params": {"x": [1] * 100}},
                {"name": "large", "version": "2", "params": {"x": [1] * MOST}},
            ],
        },
    }
    found = json.loads(await truncated(written(machine)))
    assert truncated_paths(found) == ["spec.components.params"]
    small, large = found["spec"]["components"]
    assert small == machine["spec"]["components"][0]  # type: ignore[index]
    assert large == {"name": "large", "version": "2", "params": {}}


async def test_in_lists_and_events_only_the_large_ones_are_cut() -> None:
    small, large = addon({"items": [{"object": {}}]}), addon({"x": [{}] * 100_000})
    listed = {"apiVersion": "v1", "items": [small, large, small], "metadata": {"continue": "x"}}
    found = json.loads(await truncated(written(listed)))
    assert [truncated_paths(one) for one in found["items"]] == [[], ["spec.values"], []]
    assert found["items"][0] == found["items"][2] == small
    assert found["metadata"] == {"continue": "x"}
    event = json.loads(await truncated(written({"type": "ADDED", "object": large})))
    assert (event["type"], truncated_paths(event["object"])) == ("ADDED", ["spec.values"])


async def test_what_is_large_elsewhere_is_bounded_as_well() -> None:
    labels = {f"l{n}": "" for n in range(MOST)}
    finalizers = [*(f"a/{n}" for n in range(2 * MOST)), "kok.dev/cluster-operator"]
    one = addon({})
    one["metadata"] |= {"labels": labels, "finalizers": finalizers}
    found = json.loads(await truncated(written(one)))
    assert set(truncated_paths(found)) == {"metadata.finalizers", "metadata.labels"}
    assert found["metadata"]["finalizers"] == ["kok.dev/cluster-operator"], "it must not go"
    other = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"c": [{"name": "x"}] * MOST * 2}}
    assert truncated_paths(json.loads(await truncated(written(other)))) == ["spec.c"]
    other["spec"] = {f"f{n}": n for n in range(MOST)}
    assert truncated_paths(json.loads(await truncated(written(other)))) == ["spec"]
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {f"{n}": "" for n in range(MOST)},
    }
    assert truncated_paths(json.loads(await truncated(written(secret)))) == ["data"]


async def test_a_cut_object_is_for_those_alone_who_do_not_use_what_it_lacks() -> None:
    found = json.loads(await truncated(written(addon({"x": [1] * MOST}))))
    with pytest.raises(TooManyValues, match=r"Addon t/a: spec\.values holds too much.*smaller"):
        refuse_truncated(found)
    with pytest.raises(TooManyValues):
        refuse_truncated(found, ("spec.value", "status"))
    refuse_truncated(found, FREE_FORM)
    refuse_truncated(found, ANYTHING)
    refuse_truncated(addon({}))


SLOW = {
    **{name: written(addon({"x": values})) for name, values in HOSTILE.items()},
    "a string of escapes without end": b'{"a":["' + b"\\" * 10**6,
    "brackets without end": b"[" * 10**6,
    "deep": b'{"spec":{"values":[%s]}}' % b",".join([b"[" * 9000 + b"]" * 9000] * 60),
    "many lists": written(addon({}, components=[{"p": {}} for _ in range(150_000)])),
    "many entries": written(addon({}, components=[{"p": 1} for _ in range(150_000)])),
    "lists of lists": written(addon({}, components=[[[]] for _ in range(250_000)])),
    "fields of one entry": written(addon({}, components=[{f"{n}": {} for n in range(120_000)}])),
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
async def test_cutting_is_as_quick_as_parsing_a_few_times(text: bytes) -> None:
    """All of a kind share one stream, which waits for it at each change of such an object."""
    floor = min(timed(partial(from_json, b"[" + b"{}," * (len(text) // 3) + b"{}]")))
    taken = []
    for _ in range(3):
        begin = time.process_time()
        await truncated(text)
        taken.append(time.process_time() - begin)
    assert min(taken) < 15 * floor


def timed(work: Callable[[], object]) -> Iterator[float]:
    for _ in range(3):
        begin = time.process_time()
        work()
        yield time.process_time() - begin


def test_all_free_form_fields_are_known() -> None:
    found = set()
    for file in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        found |= set(free_form(schema["properties"]["spec"], "spec"))
    assert found == {path for path in FREE_FORM if path.startswith("spec.")}


def free_form(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of the fields that take anything."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        yield path
    for name, inner in (schema.get("properties") or {}).items():
        yield from free_form(inner, f"{path}.{name}")
    if "items" in schema:
        yield from free_form(schema["items"], path)
