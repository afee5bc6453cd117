"""Where an Addon's manifests and values come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kok import addons
from kok.api.fields import WHITE, Name, ObjectName, rule, rules, says
from kok.api.meta import ApiModel

PEM = Annotated[str, Field(max_length=65536)]
_TERM = (
    r"(>=|<=|!=|=|>|<|~|\^)? *v?[0-9xX*]+(\.[0-9xX*]+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
RANGE = rf"^ *{_TERM}( *(,|\|\|)? *{_TERM})* *$"

VersionRange = Annotated[
    str,
    Field(
        pattern=RANGE,
        max_length=128,
        json_schema_extra=says(
            "write a version such as 1.4.0, or a range such as >=1.34 <1.37, ^1.2, ~1.4 or 1.x; "
            "|| stands between alternatives"
        ),
    ),
]
"""One version, or a range in the notation of Helm and npm."""


class HelmSource(ApiModel):
    """A Helm chart, rendered as `helm template` does it; no release is recorded in the cluster."""

    repository: str = Field(
        pattern=rf"^(https|oci)://[^{WHITE}@?#]+$",
        max_length=1024,
        json_schema_extra=says(
            "write a repository such as https://charts.example/stable or "
            "oci://registry.example/charts, without credentials; these go into a Secret"
        ),
    )
    """Repository of the chart: `https://` for one with an index.yaml, `oci://` for a registry."""
    chart: str = Field(
        pattern=r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?(/[a-z0-9]([-._a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
        json_schema_extra=says("write the chart's name as the repository has it, such as traefik"),
    )
    """The chart's name in the repository."""
    version: VersionRange
    """Its version, or a range of which the latest is taken once; `status.source` has which. Another
    one is looked for when the source is written anew."""
    namespace: Name = Field(default="default", min_length=1, max_length=63)
    """Namespace of the release: where everything goes that names none itself."""
    create_namespace: bool = False
    """Makes that namespace; it then goes with the Addon, and with it all that is in it, unless it was
    there before."""
    release_name: str = Field(
        default="",
        max_length=53,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
        json_schema_extra=says("write lower-case letters, digits and dashes"),
    )
    """Name of the release in the chart's templates; that of the Addon if empty."""
    api_versions: list[Annotated[str, Field(max_length=253)]] = Field(
        default_factory=list, max_length=64
    )
    """What charts find in `.Capabilities.APIVersions` beside Kubernetes' own APIs, such as
    monitoring.coreos.com/v1."""
    hooks: Literal["Refuse", "Ignore"] = "Refuse"
    """What becomes of a chart's hooks, which only Helm itself would run: they are refused by name, or
    left out. Tests are always left out; CRDs and the like that are to be there first are no hooks
    that have to be run, and are applied with the rest."""
    secret: ObjectName = ""
    """Secret in the same namespace with `username` and `password`, or a `.dockerconfigjson`."""
    ca: PEM = ""
    """PEM of the CA that the server's certificate must be of, if it is none of the usual ones."""


class OCISource(ApiModel):
    """An artifact in a registry: a folder of manifests and templates, packed by tar and gzip.

    Files that end in `.yaml`, `.yml` or `.json` are applied as they are, those that end in `.j2` are
    templates as `inline` is one. A `values.yaml` beside them holds defaults of the values, a
    `values.schema.json` what they may be.
    """

    reference: str = Field(
        pattern=rf"^[^{WHITE}@:/]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[a-f0-9]{{64}})?$",
        max_length=1024,
        json_schema_extra=says(
            "write a reference such as registry.example/team/addon:1.2 or "
            "registry.example/team/addon@sha256:..., without oci://"
        ),
    )
    """The artifact. What a tag stands for is looked up once, and recorded in `status.source`; again
    when the source is written anew."""
    secret: ObjectName = ""
    """Secret in the same namespace with `username` and `password`, or a `.dockerconfigjson`."""
    ca: PEM = ""
    """PEM of the CA that the server's certificate must be of, if it is none of the usual ones."""


class AddonSource(ApiModel):
    """Where the templates come from; exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.source: write exactly one of builtin, inline, configMap, helm and oci",
                "(has(self.builtin) ? 1 : 0) + (has(self.inline) ? 1 : 0) + "
                "(has(self.configMap) ? 1 : 0) + (has(self.helm) ? 1 : 0) + "
                "(has(self.oci) ? 1 : 0) == 1",
            )
        )
    )

    builtin: str | None = Field(
        default=None,
        max_length=40,
        json_schema_extra=rules(
            rule(
                "'spec.source.builtin: ' + self + ' is not known; write one of "
                + ", ".join(addons.NAMES)
                + "'",
                "self in [" + ", ".join(f"'{a}'" for a in addons.NAMES) + "]",
                expression=True,
            )
        ),
    )
    """One that comes with KOK."""
    inline: str | None = Field(default=None, max_length=262144)
    """Manifests as YAML documents with Jinja2 expressions."""
    config_map: str | None = Field(default=None, max_length=253)
    """ConfigMap in the same namespace whose keys hold such documents, applied in order of keys."""
    helm: HelmSource | None = None
    """A Helm chart."""
    oci: OCISource | None = None
    """An artifact in a registry."""


class ValuesFrom(ApiModel):
    """Values that stand in a Secret or ConfigMap of the same namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.valuesFrom: write either secret or configMap",
                "has(self.secret) != has(self.configMap)",
            )
        )
    )

    secret: ObjectName | None = None
    """Secret that holds them; nothing of it gets into a condition."""
    config_map: ObjectName | None = None
    """ConfigMap that holds them."""
    key: str = Field(
        default="values.yaml",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        json_schema_extra=says("write a key of its data, such as values.yaml"),
    )
    """Key whose content is a map of values, as YAML."""
    optional: bool = False
    """Goes on without where the object or the key does not exist."""


class ResolvedSource(ApiModel):
    """What a chart or artifact in a repository was found to be; used until the source is another one."""

    asked: str = Field(max_length=2560)
    """The source for which it was looked up."""
    version: str = Field(default="", max_length=256)
    """Version of the chart, or tag of the artifact."""
    url: str = Field(default="", max_length=2048)
    """Where it lies."""
    digest: str = Field(max_length=71)
    """Its digest: of a chart in an `https://` repository that of the archive, otherwise that of the
    manifest."""
