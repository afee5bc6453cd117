"""What all kinds share: metadata, conditions, and how a kind describes itself to Kubernetes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from kok.api.printable import plain_lines
from kok.api.unreadable import Unreadable, misfits

GROUP = "kok.dev"
VERSION = "v1alpha1"

Manifest = dict[str, Any]
"""A Kubernetes object as JSON: `apiVersion`, `kind`, `metadata` and what the kind adds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the Kubernetes API and where its objects lie below an API server's address."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` for the core group, otherwise `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def crd_name(self) -> str:
        """The name of the kind's CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`; `wide` ones show only with `-o wide`."""

    name: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    wide: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """The JSON paths behind a kind's `scale` subresource."""

    spec: str
    status: str
    selector: str


@dataclass(frozen=True, slots=True)
class KindInfo:
    """How a kind of ours appears in its CustomResourceDefinition."""

    kind: Kind
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    scale: Scale | None = None


def kok_kind(kind: str) -> Kind:
    """The `Kind` of one of our own kinds; its plural is the plain English one."""
    return Kind(GROUP, VERSION, kind, f"{kind.lower()}s")


class ApiModel(BaseModel):
    """Base of everything below `spec` and `status`: camelCase outside, snake_case inside.

    Unknown fields are ignored rather than refused: a CRD newer than the operator must not stop it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
        validate_default=False,
        # An operator reads a few of the kinds, and each model costs memory.
        defer_build=True,
    )

    def manifest(self) -> Manifest:
        """The JSON form: camelCase keys, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OwnerReference(ApiModel):
    """Who owns an object; see the Kubernetes documentation of garbage collection."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """The part of Kubernetes' object metadata that the operators read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[OwnerReference] = Field(default_factory=list)


class Condition(ApiModel):
    """One observation about an object, in the form of Kubernetes' `metav1.Condition`."""

    type: str = Field(max_length=316)
    """What is observed, in CamelCase; `Ready` sums up the others."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(max_length=1024)
    """Why, as one documented CamelCase word."""
    message: str = Field(default="", max_length=32768)
    """Why, as a sentence for people that names the objects concerned and what to do."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int | None = None
    """The generation of the object that this was observed of."""


class Status(ApiModel):
    """What every kind's status holds."""

    observed_generation: int | None = None
    """The generation of the spec that the operator last acted on."""
    phase: str | None = None
    """One word for people; programs should read the conditions."""
    conditions: list[Condition] = Field(
        default_factory=list,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    """The observations behind the phase; `Ready` sums them up."""

    def take_facts(self, other: Self) -> None:
        """Becomes what another one is, in place, but for what every kind says at the end of a pass:
        conditions, phase and generation.
        """
        facts = other.model_copy(deep=True)
        for name in type(self).model_fields.keys() - Status.model_fields.keys():
            setattr(self, name, getattr(facts, name))

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if there is one."""
        return next((c for c in self.conditions if c.type == type_), None)

    def is_true(self, type_: str) -> bool:
        """Whether the condition is there and `True`."""
        found = self.condition(type_)
        return found is not None and found.status == "True"

    def set_condition(
        self,
        type_: str,
        status: bool | None,
        reason: str,
        message: str = "",
        *,
        now: datetime,
        generation: int | None = None,
    ) -> bool:
        """Sets a condition (`None` means `Unknown`); tells whether its status changed.

        The transition time moves only when the status does, so that a pass that finds nothing
        new leaves the object as it was and needs no write.
        """
        word: Literal["True", "False", "Unknown"] = (
            "Unknown" if status is None else "True" if status else "False"
        )
        before = self.condition(type_)
        changed = before is None or before.status != word
        since = (
            now.astimezone(UTC).replace(microsecond=0)
            if before is None or changed
            else before.last_transition_time
        )
        condition = Condition(
            type=type_,
            status=word,
            reason=reason,
            message=plain_lines(message[:32768]),
            last_transition_time=since,
            observed_generation=generation,
        )
        if before is None:
            self.conditions.append(condition)
        else:
            self.conditions[self.conditions.index(before)] = condition
        return changed

    def drop_conditions(self, types: Iterable[str]) -> None:
        """Removes conditions that no longer say anything."""
        gone = set(types)
        self.conditions = [c for c in self.conditions if c.type not in gone]


class Resource(ApiModel):
    """Base of the kinds; each declares `spec`, `status` and its `info`."""

    info: ClassVar[KindInfo]

    api_version: str = f"{GROUP}/{VERSION}"
    kind: str = ""
    metadata: ObjectMeta
    spec: Any
    status: Any

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """The typed form of an object as read from the API server.

        Raises `Unreadable` where the object does not fit, which the CRD's schema rules out for
        objects written since it was installed.
        """
        try:
            return cls.model_validate({**manifest, "status": manifest.get("status") or {}})
        except ValidationError as error:
            raise Unreadable(cls.info.kind.kind, manifest, misfits(error)) from None

    @classmethod
    def bare(cls, manifest: Manifest) -> Self:
        """What can be told of any object: its metadata and its conditions, as far as they fit.

        Its `spec` says no more than whether it is `paused`.
        """
        status, spec = manifest.get("status"), manifest.get("spec")
        made: Any = cls.model_construct(
            metadata=ObjectMeta.model_validate(manifest["metadata"]),
            spec=_BareSpec(paused=isinstance(spec, dict) and spec.get("paused") is True),
            status=Status(conditions=_conditions(status if isinstance(status, dict) else {})),
        )
        bare: Self = made
        return bare

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`."""
        return self.metadata.namespace

    @property
    def deleting(self) -> bool:
        """Whether the object waits for its finalizers."""
        return self.metadata.deletion_timestamp is not None

    def __str__(self) -> str:
        """`Kind namespace/name`, as sentences for users name objects."""
        return f"{self.info.kind.kind} {self.namespace}/{self.name}"


class _BareSpec(ApiModel):
    paused: bool = False


def _conditions(status: Manifest) -> list[Condition]:
    """Those of a status that can be read."""
    found: list[Condition] = []
    listed = status.get("conditions")
    for one in listed if isinstance(listed, list) else ():
        with suppress(ValidationError):
            found.append(Condition.model_validate(one))
    return found
