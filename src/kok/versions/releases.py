"""Look-ups: what is known of one Kubernetes or etcd version.

Any patch level of a known minor is accepted, listed in `data.yaml` or not, and gets the facts of
its minor. On the day of a CVE a new patch level must be usable without a new release of KOK;
patch levels do not change flags, images' names or configuration formats. The listed ones are
those that KOK is built against. An unknown minor is refused: its flags may differ, and
an unknown flag stops a component.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from kok.addons import IMAGES
from kok.versions.errors import UnknownVersion
from kok.versions.models import Data, EtcdMinor, KubernetesMinor
from kok.versions.number import Minor, Version, parse, parse_minor


@dataclass(frozen=True)
class KubernetesRelease:
    """One Kubernetes version and the facts of its minor."""

    version: Version
    facts: KubernetesMinor

    @property
    def tag(self) -> str:
        """Tag of its images, `v1.37.1`."""
        return f"v{self.version}"

    @property
    def listed(self) -> bool:
        """Whether the data file names this very patch level."""
        return self.version in self.facts.patches

    @property
    def default_admission_plugins(self) -> frozenset[str]:
        """Plugins that are on without being asked for."""
        found = set(data().admission_plugins.default)
        for minor in kubernetes_minors():
            if minor <= self.version.line:
                changes = data().kubernetes[str(minor)].admission_plugins
                found = (found | set(changes.added)) - set(changes.removed)
        return frozenset(found)

    @property
    def admission_plugins(self) -> frozenset[str]:
        """All plugins that it knows, on by default or not."""
        return self.default_admission_plugins | set(data().admission_plugins.optional)

    def image(self, name: str, registry: str = "") -> str:
        """Image of what belongs to this version.

        `name` is one of `images.repositories` in the data file, or an image of a built-in addon;
        `registry` overrides the public ones. Raises `KeyError` for any other.
        """
        if (own := IMAGES.get(name)) is not None:
            return image(registry, own.repository, own.tag or self.tag)
        tag = self.facts.tags.get(name, self.tag)
        return image(registry, data().images.repositories[name], tag)


@dataclass(frozen=True)
class EtcdRelease:
    """One etcd version and the facts of its minor."""

    version: Version
    facts: EtcdMinor

    @property
    def tag(self) -> str:
        """Tag of its image, `3.6.10-0`."""
        return data().images.etcd_tag.format(version=self.version)

    @property
    def listed(self) -> bool:
        """Whether the data file names this very patch level."""
        return self.version in self.facts.patches

    def arguments(self, settings: Mapping[str, str]) -> list[str]:
        """Command line arguments for settings whose form differs between minors.

        Keys are those of `facts.settings`, values as etcd writes them (`true`, `5s`), for
        example `{"initial-corrupt-check": "true"}`. Sorted; all gates come in one
        `--feature-gates`. Raises `KeyError` for a setting that is not known.
        """
        known = {name: self.facts.settings[name] for name in sorted(settings)}
        flags = [f"--{how.flag}={settings[name]}" for name, how in known.items() if how.flag]
        gates = [f"{how.gate}={settings[name]}" for name, how in known.items() if how.gate]
        return flags + ([f"--feature-gates={','.join(gates)}"] if gates else [])

    def image(self, registry: str = "") -> str:
        """Its image; `registry` overrides the public one."""
        return image(registry, data().images.etcd, self.tag)


@cache
def data() -> Data:
    """The data file, read and checked once."""
    text = (files("kok.versions") / "data.yaml").read_text(encoding="utf-8")
    return Data.model_validate(yaml.safe_load(text))


def kubernetes(version: str | Version) -> KubernetesRelease:
    """What is known of a Kubernetes version. Raises `UnknownVersion` with a sentence."""
    number = parse(version) if isinstance(version, str) else version
    facts = data().kubernetes.get(str(number.line))
    if facts is None:
        raise UnknownVersion(f"{number} is not supported; {supported()}")
    return KubernetesRelease(number, facts)


def etcd(version: str | Version) -> EtcdRelease:
    """What is known of an etcd version. Raises `UnknownVersion` with a sentence."""
    number = parse(version, example="3.6.10") if isinstance(version, str) else version
    facts = data().etcd.get(str(number.line))
    if facts is None:
        raise UnknownVersion(f"etcd {number} is not supported; {supported_etcd()}")
    if number < facts.minimum:
        raise UnknownVersion(
            f"etcd {number} is too old; write {facts.minimum} or a later patch level"
        )
    return EtcdRelease(number, facts)


def default_etcd(kubernetes_version: str | Version) -> Version:
    """The etcd that a new cluster of this Kubernetes version gets."""
    return kubernetes(kubernetes_version).facts.etcd.default


def kubernetes_minors() -> list[Minor]:
    """The Kubernetes minors that this release knows, ascending."""
    return sorted(parse_minor(minor) for minor in data().kubernetes)


def etcd_minors() -> list[Minor]:
    """The etcd minors that this release knows, ascending."""
    return sorted(parse_minor(minor) for minor in data().etcd)


def supported(*, patches: bool = False) -> str:
    """For sentences: "this release knows 1.34 to 1.37", if asked with the patch levels listed."""
    sentence = f"this release knows {_span(kubernetes_minors())}"
    listed = [version for facts in data().kubernetes.values() for version in facts.patches]
    return f"{sentence} ({_list(listed)})" if patches else sentence


def supported_etcd(*, patches: bool = False) -> str:
    """As `supported`, for etcd."""
    sentence = f"this release knows etcd {_span(etcd_minors())}"
    listed = [version for facts in data().etcd.values() for version in facts.patches]
    return f"{sentence} ({_list(listed)})" if patches else sentence


def image(registry: str, repository: str, tag: str) -> str:
    """An image reference.

    `repository` may begin with its own registry (`ghcr.io/flannel-io/flannel`); without one it
    is the default registry's. `registry`, if not empty, takes the place of either, as a mirror
    that serves all images under their usual paths does; it may hold a path of its own.
    """
    first, _, rest = repository.partition("/")
    named = bool(rest) and ("." in first or ":" in first or first == "localhost")
    home, path = (first, rest) if named else (data().images.registry, repository)
    return f"{registry.rstrip('/') or home}/{path}:{tag}"


def _span(minors: list[Minor]) -> str:
    return f"{minors[0]} to {minors[-1]}"


def _list(versions: Iterable[Version]) -> str:
    return ", ".join(str(version) for version in sorted(versions))
