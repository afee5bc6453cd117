"""The shape of `data.yaml`, and what a look-up in it returns. Everything is frozen."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kok.versions.number import Minor, Version, parse, parse_minor


def _version(value: Any) -> Any:
    return parse(value) if isinstance(value, str) else value


def _minor(value: Any) -> Any:
    return parse_minor(value) if isinstance(value, str) else value


AVersion = Annotated[Version, BeforeValidator(_version)]
AMinor = Annotated[Minor, BeforeValidator(_minor)]


class _Fact(BaseModel):
    """Facts do not change, and a misspelt one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigAPIs(_Fact):
    """`apiVersion` of the configuration files that components of a minor read."""

    kubeadm: str
    kubelet: str
    kube_proxy: str
    scheduler: str
    encryption: str
    audit: str
    egress_selector: str
    authentication: str
    authorization: str


class EtcdPairing(_Fact):
    """Which etcd goes with a Kubernetes minor."""

    default: AVersion
    """What a new cluster gets."""
    kubeadm: AVersion
    """What kubeadm of that minor installs, for comparison."""
    minimum: AVersion
    """The oldest that kubeadm of that minor accepts beside it."""


class Changes(_Fact):
    """Names that came and went with a minor, compared to the minor before it."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class LockedGates(_Fact):
    """Feature gates that a component refuses to have set to anything else from a minor on."""

    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()


class RemovedAPI(_Fact):
    """A version of a built-in API that a minor no longer serves."""

    group: str
    version: str
    resources: tuple[str, ...]
    """As paths name them, such as `servicecidrs`."""

    @property
    def api_version(self) -> str:
        """As objects write it."""
        return f"{self.group}/{self.version}"


class AdmissionPlugins(_Fact):
    """Admission plugins of the oldest minor; later ones list their changes."""

    default: tuple[str, ...]
    """On without being asked for; `--enable-admission-plugins` adds to them."""
    optional: tuple[str, ...]
    """Known, but off unless asked for."""


class KubernetesMinor(_Fact):
    """What is known of a minor; the same for all its patch levels."""

    patches: tuple[AVersion, ...]
    """Patch levels that KOK is built against; others of the minor are accepted too."""
    etcd: EtcdPairing
    tags: dict[str, str]
    """Tags of images whose versions are not Kubernetes' own, by the image's name."""
    host_components: dict[str, str]
    """Default versions of the software on nodes, by the Component's name; the kubelet has the
    cluster's own version."""
    config_apis: ConfigAPIs
    admission_plugins: Changes = Changes()
    """Changes to the plugins that are on by default."""
    flags: dict[str, Changes] = Field(default_factory=dict)
    """Changes to the command line flags, by component."""
    feature_gates: Changes = Changes()
    """Changes to the feature gates of all components; a gate that went stops a component."""
    locked_gates: LockedGates = LockedGates()
    """Feature gates that are locked from this minor on; another value stops a component."""
    removed_apis: tuple[RemovedAPI, ...] = ()
    """What API servers of the minor before served, or could be told to serve, and these do not."""


class EtcdProbes(_Fact):
    """HTTP paths on the metrics port. Liveness depends neither on quorum nor on alarms."""

    liveness: str
    startup: str
    readiness: str


class EtcdSetting(_Fact):
    """A flag without dashes, or a name in `--feature-gates`: exactly one of the two."""

    flag: str | None = None
    gate: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.flag is None) == (self.gate is None):
            raise ValueError("an etcd setting is either a flag or a gate")
        return self


class EtcdUpgradeGate(_Fact):
    """Where a member must stand before it may go up to this minor."""

    previous: AMinor
    at_least: AVersion


class EtcdMinor(_Fact):
    """What is known of an etcd minor; the same for all its patch levels from `minimum` on."""

    patches: tuple[AVersion, ...]
    """Patch levels that KOK is built against; others of the minor are accepted too."""
    minimum: AVersion
    probes: EtcdProbes
    settings: dict[str, EtcdSetting]
    """How to ask for what has another name in another minor, by the setting's own name."""
    snapshot_count: int
    """Default of `--snapshot-count`."""
    snapshot_tool: str
    """The program that checks and restores snapshots."""
    upgrade_gate: EtcdUpgradeGate | None = None


class Images(_Fact):
    """Where images are."""

    registry: str
    """Of a repository that names none."""
    repositories: dict[str, str]
    """By the image's name; but for those of addons, and etcd, which has versions of its own."""
    etcd: str
    etcd_tag: str
    """Form of etcd's tags, with `{version}`."""


class Data(_Fact):
    """The whole data file."""

    images: Images
    kubelet_skew: int
    """How many minors a kubelet may be older than the API server."""
    admission_plugins: AdmissionPlugins
    kubernetes: dict[str, KubernetesMinor]
    etcd: dict[str, EtcdMinor]
