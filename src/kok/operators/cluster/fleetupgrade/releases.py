"""What is known of releases of Kubernetes, as far as a plan asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kok import versions
from kok.versions import Minor, Version, knowledge


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


def known_by(known: knowledge.Releases) -> Releases:
    """What this release of KOK was built against, and what a document adds to that."""
    found = known.document.vulnerabilities if known.document is not None else ()
    return Releases(
        {minor: known.patches(minor) for minor in versions.kubernetes_minors()},
        {one.id: one.fixed for one in found},
    )


def built_in() -> Releases:
    """What this release of KOK was built against. It knows of no CVEs."""
    return known_by(knowledge.Releases())
