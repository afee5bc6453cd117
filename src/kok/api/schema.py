"""From a pydantic model to the structural OpenAPI v3 schema that a CRD wants."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue

from kok.api.fields import (
    EITHER,
    INT_OR_STRING,
    NARROWER,
    PATTERN_SENTENCE,
    QUANTITY_RULE,
    QUANTITY_SENTENCE,
    RULES,
    rule,
)

_DROPPED = {"title", "$defs", "examples", "exclusiveMinimum", "exclusiveMaximum", "discriminator"}


def structural(model: type[BaseModel]) -> JsonSchemaValue:
    """The model's JSON schema in the structural form that the API server accepts.

    References are written out, optional fields lose their `null`, nested models get a default of
    `{}` where the model gives one (otherwise the defaults inside them would never be filled in),
    maps of anything keep unknown fields, and a pattern with a sentence becomes a CEL rule, since
    the API server answers a pattern only with the pattern. Raises `ValueError` for a field without
    description: `kubectl explain` must always have an answer.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _object(model, schema, schema.get("$defs", {}))


def _object(
    model: type[BaseModel], schema: JsonSchemaValue, defs: dict[str, Any]
) -> JsonSchemaValue:
    out = {k: v for k, v in schema.items() if k not in _DROPPED}
    properties = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        raw = schema["properties"][key]
        properties[key] = _field(model, key, field, raw, defs)
    out["properties"] = properties
    out["type"] = "object"
    return out


def _field(
    model: type[BaseModel], key: str, field: FieldInfo, raw: JsonSchemaValue, defs: dict[str, Any]
) -> JsonSchemaValue:
    nested = _model_of(field.annotation)
    value = _value(raw, nested, defs)
    # What is written at the field says more than what its type says of itself.
    description = raw.get("description") or field.description or value.get("description")
    if not description:
        raise ValueError(f"{model.__name__}.{key} has no description")
    value["description"] = " ".join(str(description).split())
    if field.default_factory is not None:
        value["default"] = _factory_default(field)
    if "default" in value and value["default"] is None:
        del value["default"]
    return value


def _factory_default(field: FieldInfo) -> Any:
    default = typing.cast("Any", field.default_factory)()
    if isinstance(default, BaseModel):
        # Empty unless the factory chose something: the schema of the model has the rest. But the
        # API server checks a model's own rules on the default as it is written, before it fills
        # in what is inside.
        extra = default.model_config.get("json_schema_extra")
        ruled = isinstance(extra, dict) and RULES in extra
        dumped: dict[str, Any] = default.model_dump(
            mode="json", by_alias=True, exclude_defaults=not ruled, exclude_none=True
        )
        return dumped
    return default


def _value(
    raw: JsonSchemaValue, model: type[BaseModel] | None, defs: dict[str, Any]
) -> JsonSchemaValue:
    raw = _without_null(raw)
    if "$ref" in raw or "allOf" in raw:
        ref = raw.get("$ref") or raw["allOf"][0]["$ref"]
        base = defs[ref.rsplit("/", 1)[-1]]
        extra = {k: v for k, v in raw.items() if k not in {"$ref", "allOf"}}
        if model is None:
            raise ValueError(f"{ref} is not a model that can be written out")
        merged = _object(model, base, defs)
        if all_rules := [*merged.pop(RULES, []), *extra.pop(RULES, [])]:
            merged[RULES] = all_rules
        return {**merged, **extra}
    out = {k: v for k, v in raw.items() if k not in _DROPPED}
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if "items" in out:
        out["items"] = _value(out["items"], model, defs)
    return _map(_spoken(_either(out)), model, defs)


def _either(out: JsonSchemaValue) -> JsonSchemaValue:
    """What may be a whole number as well as a text: a rule speaks of both, by default of a quantity."""
    if INT_OR_STRING not in out:
        return out
    rest = {k: v for k, v in out.items() if k not in {"type", "pattern", "maxLength", EITHER}}
    said = [out.get(EITHER) or rule(QUANTITY_SENTENCE, QUANTITY_RULE), *out.get(RULES, [])]
    return {**rest, RULES: said}


def _spoken(out: JsonSchemaValue) -> JsonSchemaValue:
    """Turns a pattern that has a sentence into a rule that answers with it."""
    if PATTERN_SENTENCE not in out:
        return out
    read = out.pop("pattern")
    said = rule(out.pop(PATTERN_SENTENCE), f"self.matches(r'{out.pop(NARROWER, read)}')")
    return {**out, RULES: [said, *out.get(RULES, [])]}


def _map(
    out: JsonSchemaValue, model: type[BaseModel] | None, defs: dict[str, Any]
) -> JsonSchemaValue:
    if out.get("x-kubernetes-preserve-unknown-fields"):
        out.pop("additionalProperties", None)
    elif isinstance(out.get("additionalProperties"), dict):
        out["additionalProperties"] = _value(out["additionalProperties"], model, defs)
    return out


def _without_null(raw: JsonSchemaValue) -> JsonSchemaValue:
    options = raw.get("anyOf")
    if options is None:
        return raw
    real = [o for o in options if o.get("type") != "null"]
    if len(real) != 1:
        raise ValueError(f"a field of several types cannot be structural: {raw}")
    return {**real[0], **{k: v for k, v in raw.items() if k != "anyOf"}}


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `X`, `X | None`, `list[X]`, `dict[str, X]` or `Annotated[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.GenericAlias) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            found = _model_of(argument)
            if found is not None:
                return found
    return None
