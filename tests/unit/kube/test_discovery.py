"""Where a kind is served, as an API server tells."""

from __future__ import annotations

from typing import Any

import pytest

from kok.api.meta import Kind
from kok.kube.discovery import Discovery
from kok.kube.errors import NotFound, Unreachable

OLD = Kind("policy", "v1beta1", "PodDisruptionBudget", "poddisruptionbudgets")
GROUP = {
    "versions": [{"version": "v1beta1"}, {"version": "v2alpha1"}, {"version": "v1"}],
    "preferredVersion": {"version": "v1"},
}
RESOURCES = {"resources": [{"kind": OLD.kind, "name": OLD.plural, "namespaced": True}]}


def discovery(answers: dict[str, Any]) -> Discovery:
    async def ask(path: str) -> Any:
        if path not in answers:
            raise NotFound(404, "NotFound", "404 page not found")
        return answers[path]

    return Discovery(ask)


@pytest.mark.parametrize(
    ("answers", "version"),
    [
        ({}, None),
        ({"/apis/policy": GROUP}, None),
        ({"/apis/policy": GROUP, "/apis/policy/v1beta1": RESOURCES}, None),
        ({"/apis/policy": GROUP, "/apis/policy/v2alpha1": RESOURCES}, "v2alpha1"),
        (
            {
                "/apis/policy": GROUP,
                "/apis/policy/v1": RESOURCES,
                "/apis/policy/v2alpha1": RESOURCES,
            },
            "v1",
        ),
        ({"/apis/policy": GROUP, "/apis/policy/v1": {"resources": []}}, None),
    ],
    ids=["no group", "nowhere", "only there", "another", "the preferred one", "no such kind"],
)
async def test_another_version_of_a_kind_is_found_where_there_is_one(
    answers: dict[str, Any], version: str | None
) -> None:
    found = await discovery(answers).other_version(OLD)
    assert (found.version if found is not None else None) == version


async def test_an_answer_that_is_none_is_no_proof_that_a_kind_is_gone() -> None:
    for answer in ("what?", {"versions": None}):
        with pytest.raises(Unreachable):
            await discovery({"/apis/policy": answer}).other_version(OLD)
    odd = {"versions": [7, {"version": "../../x"}, {"version": "v1"}]}
    found = await discovery({"/apis/policy": odd, "/apis/policy/v1": RESOURCES}).other_version(OLD)
    assert found == Kind("policy", "v1", OLD.kind, OLD.plural)
