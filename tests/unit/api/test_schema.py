"""From models to schemas: what the API server would refuse, or a user would miss, fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, Field

from kok.api import KINDS
from kok.api.crd import crd
from kok.api.fields import immutable, rule, rules, says
from kok.api.meta import ApiModel, Resource
from kok.api.schema import structural


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all that is in it, with their paths."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from parts(schema[name], f"{path}[]")


@pytest.fixture(params=KINDS, ids=lambda k: k.info.kind.kind)
def schema(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The schema of each kind in turn."""
    kind: type[Resource] = request.param
    (version,) = crd(kind)["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def test_explain_has_an_answer_for_every_field(schema: dict[str, Any]) -> None:
    silent = [
        path
        for path, part in parts(schema)
        if path not in {".apiVersion", ".kind", ".metadata"}
        and not path.endswith("[]")
        and not part.get("description")
    ]
    assert silent == []


def test_descriptions_are_sentences(schema: dict[str, Any]) -> None:
    odd = [
        part["description"]
        for path, part in parts(schema)
        if "description" in part and not part["description"].rstrip(")`").endswith((".", "?"))
    ]
    assert odd == []


def test_nothing_is_left_that_a_structural_schema_may_not_hold(schema: dict[str, Any]) -> None:
    for path, part in parts(schema):
        assert not {"$ref", "anyOf", "allOf", "const", "title", "$defs"} & set(part), path
        assert part.get("type") != "null", path
        assert part.get("default", "") is not None, path
        assert not any(key.startswith("x-kok") for key in part), path


def test_texts_with_rules_have_bounds(schema: dict[str, Any]) -> None:
    """Without them the API server cannot tell what a rule may cost, and refuses the CRD."""
    for path, part in parts(schema):
        if "x-kubernetes-validations" in part and part.get("type") == "string":
            assert "maxLength" in part or "enum" in part, path


class Inner(ApiModel):
    """Something inside."""

    size: str = "8Gi"
    """How big."""
    note: str | None = None
    """Said by the way."""


class Ruled(ApiModel):
    """Something with a rule of its own."""

    model_config = ConfigDict(json_schema_extra=rules(rule("too small", "self.size != '0'")))

    size: str = "8Gi"
    """How big."""


class Whole(ApiModel):
    """All of it."""

    plain: Inner = Field(default_factory=Inner)
    chosen: Inner = Field(default_factory=lambda: Inner(size="1Gi"))
    ruled: Ruled = Field(default_factory=Ruled)
    maybe: int | None = None
    """A number, or none."""
    fixed: Ruled = Field(default_factory=Ruled, json_schema_extra=rules(immutable("it", "no")))
    name: Annotated[str, Field(pattern="^a$", max_length=1, json_schema_extra=says("write a"))] = (
        Field(default="a", json_schema_extra=rules(immutable("name", "no")))
    )
    """A name."""
    inners: list[Inner] = Field(default_factory=list)
    """Many."""
    anything: dict[str, Any] = Field(
        default_factory=dict, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )
    """Whatever."""


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The properties of `Whole`."""
    return dict(structural(Whole)["properties"])


def test_an_absent_part_gets_the_defaults_inside_it(whole: dict[str, Any]) -> None:
    assert whole["plain"]["default"] == {}
    assert whole["plain"]["properties"]["size"]["default"] == "8Gi"


def test_a_default_that_was_chosen_is_written_out(whole: dict[str, Any]) -> None:
    assert whole["chosen"]["default"] == {"size": "1Gi"}


def test_a_part_with_rules_spells_out_its_default(whole: dict[str, Any]) -> None:
    """Since the API server checks rules on a default before it fills in what is inside."""
    assert whole["ruled"]["default"] == {"size": "8Gi"}


def test_optional_means_absent_never_null(whole: dict[str, Any]) -> None:
    assert whole["maybe"] == {"type": "integer", "description": "A number, or none."}


def test_rules_of_a_model_and_of_its_field_both_hold(whole: dict[str, Any]) -> None:
    found = [r["rule"] for r in whole["fixed"]["x-kubernetes-validations"]]
    assert found == ["self.size != '0'", "self == oldSelf"]


def test_a_pattern_with_a_sentence_becomes_a_rule_beside_others(whole: dict[str, Any]) -> None:
    assert "pattern" not in whole["name"]
    assert [(r["rule"], r["message"]) for r in whole["name"]["x-kubernetes-validations"]] == [
        ("self.matches(r'^a$')", "write a"),
        ("self == oldSelf", "name cannot be changed; no"),
    ]


def test_items_are_written_out(whole: dict[str, Any]) -> None:
    assert set(whole["inners"]["items"]["properties"]) == {"size", "note"}


def test_a_map_of_anything_keeps_what_is_in_it(whole: dict[str, Any]) -> None:
    assert whole["anything"]["x-kubernetes-preserve-unknown-fields"] is True
    assert "additionalProperties" not in whole["anything"]


def test_a_field_without_description_is_refused() -> None:
    class Silent(ApiModel):
        """It says nothing."""

        field: int = 1

    with pytest.raises(ValueError, match=r"Silent\.field has no description"):
        structural(Silent)


def test_a_field_of_two_types_is_refused() -> None:
    class Torn(ApiModel):
        """It cannot decide."""

        field: int | str = 1
        """Which?"""

    with pytest.raises(ValueError, match="several types"):
        structural(Torn)


ASCII_OR_NOT = re.compile(r"\\[sSwWdDbBpP]|\(\?[a-zA-Z^-]|\[:")
"""What means one thing to Go, by which the API server reads it, and another to pydantic."""


def test_patterns_mean_the_same_to_the_api_server_and_to_the_operators(
    schema: dict[str, Any],
) -> None:
    found = {
        text
        for _, part in parts(schema)
        for text in (
            str(part.get("pattern", "")),
            *(r["rule"] for r in part.get("x-kubernetes-validations", ())),
        )
        if ASCII_OR_NOT.search(text)
    }
    assert found == set(), "write the characters instead: fields.WHITE, A-Za-z0-9_, 0-9"
