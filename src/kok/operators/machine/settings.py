"""Settings of the machine operator, by environment variables `KOK_...`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kok.kube.http.access import in_pod
from kok.runtime.policy import Policies


class MachineSettings(Policies):
    """All times are in seconds."""

    business_api: Literal["internal", "public"] | None = None
    """How business clusters are reached; by default `internal` in a pod and `public` elsewhere."""
    business_timeout: float = Field(default=5.0, gt=0)
    """Deadline of one request to a business cluster."""
    business_silence: float = Field(default=4.0, gt=0)
    """How long a business cluster's API answers nothing before it counts as one that does not answer."""
    business_ask_min: float = Field(default=0.5, gt=0)
    """Delay before an API that is silent is asked again; it doubles with each further question."""
    business_ask_max: float = Field(default=10.0, gt=0)
    """Longest delay between such questions."""
    ssh_connect_timeout: float = Field(default=10.0, gt=0)
    """Deadline for the TCP connection to a host."""
    ssh_login_timeout: float = Field(default=15.0, gt=0)
    """Deadline for the login that follows."""
    ssh_keepalive: float = Field(default=10.0, gt=0)
    """How often a connection is asked for a sign of life; three may fail to come."""
    trust_on_first_use: bool = True
    """Whether a host that shows a key for the first time is believed if its spec names none; never
    with a password."""
    survey_every: float = Field(default=600.0, gt=0)
    """How often a host that is as wanted is looked at over SSH."""
    host_recheck: float = Field(default=15.0, gt=0)
    """How often a host is looked at that is not fit to be a node, or whose Node does not serve."""
    host_backoff_min: float = Field(default=2.0, gt=0)
    """Delay after the first error at a host; it doubles with each further one."""
    host_backoff_max: float = Field(default=60.0, gt=0)
    """Longest delay after errors at a host."""
    removal_timeout: float = Field(default=600.0, gt=0)
    """After the time for the drain: how long a host that cannot be cleaned up keeps its Machine."""

    def internal(self) -> bool:
        """Whether to use the addresses inside the meta cluster."""
        if self.business_api is None:
            return in_pod()
        return self.business_api == "internal"
