"""Adoption of hosts that are nodes already, and what becomes of hosts in the end."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from kok.api.fields import rule
from kok.api.meta import ApiModel

OnRemove = Literal["CleanUp", "Release"]
DIFFERENCES: Final = 8
"""That are told of one component."""


def says_what_becomes() -> dict[str, Any]:
    """Whoever has hosts adopted says what is to become of them: neither is what everybody expects."""
    return rule(
        "spec.adopt: say as well what becomes of the hosts in the end; write onRemove: Release, which "
        "leaves them nodes as they are, or onRemove: CleanUp, which drains them and makes them bare",
        "!has(self.adopt) || !self.adopt || has(self.onRemove)",
    )


class AdoptedComponent(ApiModel):
    """Software that is left as it was found on the host until the spec says something else of it."""

    name: str
    """Name of the software."""
    declared: str = Field(max_length=16)
    """Hash of what the spec said of it then. As long as it says the same, nothing is changed."""
    differs: list[str] = Field(default_factory=list, max_length=DIFFERENCES)
    """What was otherwise on the host than the spec says."""


class Adoption(ApiModel):
    """How a host was found that was a node already. Recorded before anything is written there."""

    since: datetime
    """When it was adopted."""
    node_uid: str = Field(alias="nodeUID", max_length=64)
    """UID of its Node."""
    kubelet: str = Field(max_length=128)
    """Version of its kubelet then."""
    runtime: str = Field(max_length=128)
    """Its container runtime then, as `name://version`."""
    access: str = Field(max_length=16)
    """Hash of the cluster's address and CA then. While they are the same the kubelet goes on by its
    own way to the API, and with the CA file that it has."""
    components: list[AdoptedComponent] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """What is left as it was found; those leave the list that were changed since."""
