"""Settings of the cluster operator, by environment variables `KOK_...`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kok.kube.http.access import in_pod
from kok.runtime.policy import Policies


class ClusterSettings(Policies):
    """All times are in seconds."""

    business_api: Literal["internal", "public"] | None = None
    """How business clusters are reached; by default `internal` in a pod and `public` elsewhere."""
    business_timeout: float = Field(default=5.0, gt=0)
    """Deadline of one request to a business cluster."""
    business_clients: int = Field(default=500, ge=1)
    """How many business clusters are kept connected at most."""
    releases_url: str = ""
    """Where knowledge of releases (patch levels, ends of life, CVEs) is fetched, `https://...`; with
    `.sig` behind it lies its signature. Empty: what ConfigMap `kok-releases` holds."""
    releases_key: str = ""
    """Ed25519 public key of that signature, 32 bytes in base64; without one a ConfigMap is believed."""
    releases_every: float = Field(default=3600.0, ge=1)
    """How often it is fetched."""
    helm: str = "helm"
    """Program that renders Helm charts."""
    recheck: float = Field(default=300.0, gt=0)
    """How often all that KOK itself needs in a business cluster is compared with what it should be."""
    addons_recheck: float = Field(default=3600.0, gt=0)
    """The same for objects of Addons whose changes a watch tells of at once."""

    def internal(self) -> bool:
        """Whether to use the addresses inside the meta cluster."""
        if self.business_api is None:
            return in_pod()
        return self.business_api == "internal"
