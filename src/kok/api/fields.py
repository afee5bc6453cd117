"""Field types that more than one kind uses, and the CEL rules that guard them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kok.api.meta import ApiModel

WHITE = r"\t\n\f\r "
"""White space inside the brackets of a pattern, in place of `\\s`. The API server reads a pattern by
Go's rules, where `\\s`, `\\w` and `\\d` are of ASCII; for pydantic they are all of Unicode. What one
takes and the other does not is an object that is stored and cannot be read."""

DURATION = r"^([0-9]{1,13}ms|[0-9]{1,10}s|[0-9]{1,8}m|[0-9]{1,6}h)+$"
"""Of no part more than about three centuries: so many that dates bear all that a text holds."""
_DURATION_PART = re.compile(r"([0-9]{1,32})(ms|s|m|h)")
LONGEST = 1500 * 365.25 * 86400.0
"""Seconds beyond which no duration counts: with more there may be no date that it leads to."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

RULES = "x-kubernetes-validations"
PATTERN_SENTENCE = "x-kok-pattern-sentence"
"""Beside a pattern: what a user who misses it is told; only in the models, never in a CRD."""


NARROWER = "x-kok-pattern-narrower"
"""Beside a pattern: a narrower one, for the CRD."""


def says(sentence: str, *, narrower: str | None = None) -> dict[str, Any]:
    """The `json_schema_extra` that gives a field's pattern a sentence for users.

    `narrower` is what the CRD demands, where objects may have been stored with other texts: these
    can still be read.
    """
    found = {PATTERN_SENTENCE: sentence}
    return found if narrower is None else {**found, NARROWER: narrower}


Duration = Annotated[
    str,
    Field(
        pattern=r"^([0-9]+(ms|s|m|h))+$",
        max_length=32,
        json_schema_extra=says(
            "write a duration such as 90s, 10m, 1h30m or 720h, of at most six digits of hours",
            narrower=DURATION,
        ),
    ),
]

Cron = Annotated[
    str,
    Field(
        max_length=128,
        pattern=r"^([0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4})?$",
        json_schema_extra=says(
            "write the five fields of cron in UTC: minute, hour, day, month and weekday, such "
            "as 0 */6 * * *"
        ),
    ),
]
"""A schedule in UTC, or nothing."""

INT_OR_STRING = "x-kubernetes-int-or-string"
EITHER = "x-kok-either"
"""Beside it: the rule for what is no quantity; only in the models, never in a CRD."""
QUANTITY_RULE = (
    "type(self) == int ? self >= 0 : size(self) <= 32 && !self.startsWith('-') && isQuantity(self)"
)
"""What Kubernetes itself takes as an amount, but for negative ones. A text beside a number has no
bound for the API server, so that each function that reads it through costs a lot: one does."""
QUANTITY_SENTENCE = "write an amount such as 8Gi, 512Mi, 2 or 500m"


def _canonical(value: Any) -> Any:
    """A whole number, which YAML makes of `cpu: 1`, as the text that it stands for."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_canonical),
    Field(
        # Two digits of an exponent hold more than there is in the world, and bound every number.
        pattern=r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$",
        max_length=32,
        json_schema_extra={INT_OR_STRING: True},
    ),
]
"""An amount as Kubernetes takes it: a text or a whole number; always a text for us."""

Percent = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]?%$",
        max_length=3,
        json_schema_extra=says("write a share from 1% to 99%, such as 80%"),
    ),
]

CIDR = Annotated[str, Field(max_length=43)]

KubernetesVersion = Annotated[str, Field(max_length=16)]

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=says(
            "write lower-case letters, digits and dashes, with a letter or digit at both ends"
        ),
    ),
]
"""Part of an object's name; each field sets its own `max_length`."""

SoftwareVersion = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        max_length=63,
        json_schema_extra=says(
            "write a version such as 1.4.0 or 2.0-rc.1, in lower-case letters, digits, dots and "
            "dashes"
        ),
    ),
]
"""The version of on-host software; it is part of its Component's name."""

Address = Annotated[
    str,
    Field(
        pattern=rf"^[^{WHITE}/]+$",
        min_length=1,
        max_length=253,
        json_schema_extra=says("write a host name or an IP address, such as 192.0.2.21"),
    ),
]

EndpointHost = Annotated[
    str,
    Field(
        max_length=253,
        # The API server alone judges it: stored Clusters may be older than this rule, and the
        # operator, which judges once more, tells them.
        json_schema_extra={
            "pattern": r"^([A-Za-z0-9._-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$",
            **says(
                "write a host name or an IP address, such as api.shop.example, without https:// and "
                "port; a name has letters, digits, dots, dashes and underscores alone"
            ),
        },
    ),
]
"""Empty, or where something is reached; in a URL nothing but a host may come of it."""

HostKey = Annotated[
    str,
    Field(
        pattern=r"^(SHA256:[A-Za-z0-9+/]{43})?$",
        max_length=50,
        json_schema_extra=says(
            "write the fingerprint as `ssh-keygen -lf` prints it: SHA256: and 43 characters"
        ),
    ),
]

URL = Annotated[
    str,
    Field(
        pattern=rf"^(https?://[^{WHITE}]+)?$",
        max_length=2048,
        json_schema_extra=says("write an address that starts with https:// or http://"),
    ),
]

FreeForm = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]


def seconds(duration: str) -> float:
    """The length of a `Duration` in seconds, `LONGEST` at most.

    >>> seconds("1h30m")
    5400.0
    """
    parts = _DURATION_PART.findall(duration)
    return min(LONGEST, sum(float(n) * _SECONDS[unit] for n, unit in parts))


def span(duration: str) -> timedelta:
    """The length of a `Duration` as a `timedelta`."""
    return timedelta(seconds=seconds(duration))


def rule(
    sentence: str, cel: str, *, path: str | None = None, expression: bool = False
) -> dict[str, Any]:
    """One CEL rule with the sentence a user gets when it does not hold.

    `sentence` is shown as it is, or with `expression=True` is a CEL expression that makes it.
    """
    out: dict[str, Any] = {"rule": cel, "messageExpression" if expression else "message": sentence}
    if path:
        out["fieldPath"] = path
    return out


def rules(*many: dict[str, Any]) -> dict[str, Any]:
    """The `json_schema_extra` that puts CEL rules on a model or a field."""
    return {RULES: list(many)}


def odd_members(field: str) -> dict[str, Any]:
    """A rule for a number of etcd members."""
    return rule(
        f"{field} must be 1, 3, 5 or 7, since an even number survives no more failures than the "
        "odd one below it",
        "self in [1, 3, 5, 7]",
    )


def immutable(field: str, advice: str) -> dict[str, Any]:
    """A rule for a field that may not change once the object exists."""
    return rule(f"{field} cannot be changed; {advice}", "self == oldSelf")


def grows(field: str) -> dict[str, Any]:
    """A rule for a quantity that may become larger but never smaller."""
    return rule(
        f"{field} can grow but not shrink",
        "!isQuantity(string(self)) || !isQuantity(string(oldSelf)) || "
        "quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
    )


def shorter(field: str) -> dict[str, Any]:
    """A rule for a model with `leafDuration` and `renewBefore`."""
    both = " && ".join(
        f"self.{name}.matches('{DURATION}')" for name in ("leafDuration", "renewBefore")
    )
    return rule(
        f"{field}: renewBefore must be shorter than leafDuration, otherwise a certificate would "
        "be renewed for ever; write for example leafDuration 8760h and renewBefore 720h",
        f"!({both}) || duration(self.leafDuration) > duration(self.renewBefore)",
    )


def lasting(field: str) -> dict[str, Any]:
    """A rule for a model with `leafDuration` and `renewBefore`: no certificate lasts but a moment.

    Each renewal writes Secrets, and is lost on whoever has not read them before the old one ends.
    """
    both = " && ".join(
        f"self.{name}.matches('{DURATION}')" for name in ("leafDuration", "renewBefore")
    )
    return rule(
        f"{field}: a certificate must last an hour at least, and 30 minutes until it is renewed; "
        "write for example leafDuration 24h and renewBefore 8h",
        f"!({both}) || duration(self.leafDuration) <= duration(self.renewBefore) || "
        "(duration(self.leafDuration) >= duration('1h') && "
        "duration(self.leafDuration) - duration(self.renewBefore) >= duration('30m'))",
    )


def at_least(field: str, name: str, least: str) -> dict[str, Any]:
    """A rule for a model that holds the quantity `name`."""
    return rule(
        f"{field} must be at least {least}",
        f"!isQuantity(string(self.{name})) || "
        f"quantity(string(self.{name})).compareTo(quantity('{least}')) >= 0",
    )


Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63)]],
    Field(
        max_length=64,
        json_schema_extra=rules(
            rule(
                "write names such as tier or example.com/tier, and values of at most 63 letters, "
                "digits, dashes, dots and underscores",
                "self.all(k, !format.qualifiedName().validate(k).hasValue() && "
                "!format.labelValue().validate(self[k]).hasValue())",
            )
        ),
    ),
]

Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=1024)]],
    Field(
        max_length=32,
        json_schema_extra=rules(
            rule(
                "write names such as note or example.com/note",
                "self.all(k, !format.qualifiedName().validate(k).hasValue())",
            )
        ),
    ),
]


ObjectName = Annotated[str, Field(max_length=253)]
"""An object, by its name: no longer than the API server bears."""

MoreAddresses = Annotated[
    list[Annotated[str, Field(max_length=45)]],
    Field(
        max_length=16,
        json_schema_extra=rules(
            rule(
                "write IP addresses of the host, such as 10.0.2.15; names are not possible here",
                "self.all(a, isIP(a))",
            )
        ),
    ),
]
"""Addresses that a host has beside the one by which it is reached."""


class Resources(ApiModel):
    """What a container asks for and may use at most, as in Kubernetes' containers."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """Guaranteed amounts, e.g. `{cpu: 100m, memory: 256Mi}`."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=8)
    """Upper bounds; none by default."""


class Toleration(ApiModel):
    """A taint that pods put up with, as in Kubernetes' pods."""

    key: str | None = None
    """Key of the taint; every key if absent."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How `value` is compared."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect if absent."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is put up with."""


class Taint(ApiModel):
    """A taint on a node."""

    key: str = Field(
        max_length=316,
        json_schema_extra=rules(
            rule(
                "write a taint's key such as dedicated or example.com/dedicated",
                "!format.qualifiedName().validate(self).hasValue()",
            )
        ),
    )
    """Key of the taint."""
    value: str = Field(default="", max_length=63)
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    """What the taint does to pods that do not tolerate it."""


class Images(ApiModel):
    """Where container images come from."""

    registry: str = Field(
        default="",
        max_length=253,
        pattern=r"^([-.0-9A-Za-z_]+(:[0-9]+)?(/[-.0-9A-Za-z_]+)*)?$",
        json_schema_extra=says(
            "write a registry such as mirror.example:5000 or mirror.example/path, without https://"
        ),
    )
    """A registry that serves all images under their usual paths, instead of the public ones."""
    pull_secrets: list[ObjectName] = Field(default_factory=list, max_length=16)
    """Names of `kubernetes.io/dockerconfigjson` Secrets in the same namespace."""


class ArtifactBase(ApiModel):
    """Where a host fetches software from."""

    base_url: URL = Field(default="", alias="baseURL")
    """One address below which all artifacts lie under upstream's paths; upstream's own if empty."""


class ArtifactSource(ArtifactBase):
    """Where on-host software is fetched from, and by which sums it is judged."""

    checksums: str = Field(default="", max_length=253)
    """ConfigMap with SHA-256 sums (key SHA256SUMS, lines of `sum  path`) that alone are trusted.

    Without it the sums published beside the artifacts are recorded in the Components when these
    are first rendered, and hold from then on. They are fetched over HTTPS only.
    """
    ca: str = Field(default="", max_length=65536)
    """PEM of the CA that the server of published sums must have its certificate from, if it is
    none of the usual ones. The hosts must trust it by themselves."""
