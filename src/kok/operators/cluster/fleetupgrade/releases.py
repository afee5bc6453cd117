"""What is known of releases of Kubernetes, as far as a plan asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kok import versions
from kok.versions import Minor, Version


@dataclass(frozen=True, slots=True)
class Releases:
    """Patch levels, and what they fix. Handed in, so that it may come from anywhere."""

    patches: Mapping[Minor, tuple[Version, ...]]
    """The patch levels that are known, by minor."""
    fixes: Mapping[str, Mapping[Minor, Version]] = field(default_factory=dict)
    """The patch level of each minor that fixes a CVE, by CVE."""

    def newest(self, minor: Minor) -> Version | None:
        """The newest patch level of a minor; None for one that is not known."""
        return max(self.patches.get(minor, ()), default=None)

    def fixing(self, cve: str, minor: Minor) -> Version | None:
        """The patch level that fixes a CVE; None if none is known."""
        return self.fixes.get(cve, {}).get(minor)


def built_in() -> Releases:
    """What this release of KOK was built against. It knows of no CVEs."""
    minors = versions.kubernetes_minors()
    return Releases({m: versions.kubernetes(f"{m}.0").facts.patches for m in minors})
