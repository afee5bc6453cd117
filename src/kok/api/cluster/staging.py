"""What reaches many Clusters: which ones by their labels, and in which order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kok.api.fields import Duration, Labels, Name, rule, rules, says
from kok.api.meta import ApiModel
from kok.api.shares import Share, number_or_share

CANARY, REST = "canary", "rest"
"""The waves where a spec has none."""


ClusterShare = Annotated[
    Annotated[int, Field(ge=1, le=9999)] | Share, number_or_share(1, 9999, such_as=10)
]
"""A number of Clusters, or a share of them."""

FleetMember = Annotated[
    str,
    Field(
        max_length=104,
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=says("write the name of a Cluster, or namespace and name as team-a/shop"),
    ),
]

ClusterName = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=says("write the name of a Cluster of the same namespace, such as shop"),
    ),
]


class LabelRequirement(ApiModel):
    """One demand on a label, as in Kubernetes' selectors."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "operators In and NotIn need values, and Exists and DoesNotExist take none",
                "(self.operator in ['In', 'NotIn']) == (self.values.size() > 0)",
            )
        )
    )

    key: str = Field(
        min_length=1,
        max_length=316,
        json_schema_extra=rules(
            rule(
                "write a label such as tier or example.com/tier",
                "!format.qualifiedName().validate(self).hasValue()",
            )
        ),
    )
    """Name of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What its value is to be."""
    values: list[Annotated[str, Field(max_length=63)]] = Field(default_factory=list, max_length=32)
    """The values of `In` and `NotIn`."""


class ClusterSelector(ApiModel):
    """Clusters by their labels, all of them if nothing is demanded."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that a Cluster must carry."""
    match_expressions: list[LabelRequirement] = Field(default_factory=list, max_length=16)
    """Further demands; all must hold."""

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether it selects what carries these labels."""
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            _holds(one, labels) for one in self.match_expressions
        )


def _holds(one: LabelRequirement, labels: dict[str, str]) -> bool:
    if one.operator in {"Exists", "DoesNotExist"}:
        return (one.key in labels) == (one.operator == "Exists")
    among = one.key in labels and labels[one.key] in one.values
    return among == (one.operator == "In")


def one_of_each(path: str) -> dict[str, Any]:
    """The rule of a wave: it says in one way which Clusters it takes. `path` is that of the list."""
    return rule(
        f"{path}: write one of selector, percent and names, or none of them in the last wave, "
        "which then takes the rest",
        "[has(self.selector), has(self.percent), self.names.size() > 0]"
        ".filter(one, one).size() <= 1",
    )


def waves_in_order(path: str) -> dict[str, Any]:
    """The rule of a list of waves, which lies at `path`."""
    return rule(
        f"{path}: only the last wave may do without selector, percent and names: it takes the rest",
        "self.filter(w, !has(w.selector) && !has(w.percent) && w.names.size() == 0)"
        ".all(w, w.name == self[self.size() - 1].name)",
    )


class Wave(ApiModel):
    """Clusters that are reached side by side, before those of the next wave."""

    name: Name = Field(min_length=1, max_length=32)
    """Name of the wave."""
    selector: ClusterSelector | None = None
    """The wave takes Clusters with these labels of those that no wave before it has."""
    percent: int | None = Field(default=None, ge=1, le=100)
    """The wave takes this share of all Clusters that are to be reached, rounded up, of those that no
    wave before it has."""
    names: list[FleetMember] = Field(default_factory=list, max_length=128)
    """The wave takes these Clusters."""
    max_parallel: ClusterShare = 10
    """How many Clusters may be under way at the same time, as a number or as a share of the wave."""
    soak: Duration = "0s"
    """How long the Clusters of the wave have to prove themselves before the next one begins: one that
    is no longer `Ready` at the end counts as failed."""
