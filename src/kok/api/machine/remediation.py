"""Remediation: what is done about a host that drifts from its spec, or whose services fail."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kok.api.fields import Duration
from kok.api.meta import ApiModel
from kok.api.shares import Share, number_or_share

Rung = Literal["Restart", "Reinstall", "Reboot", "Replace"]
"""What is tried of a host, from the mildest on."""
HISTORY = 8
"""Attempts that a status shows, the newest ones."""
DRIFTS = 16
"""Deviations that a status shows."""

MaxUnhealthy = Annotated[
    Annotated[int, Field(ge=0, le=1000)] | Share, number_or_share(0, 1000, such_as=2)
]
"""A number of nodes, or a share of them."""


class Patience(ApiModel):
    """How long a host may take to recover before more is tried."""

    restart: Duration = "30s"
    """After its services were restarted."""
    reinstall: Duration = "3m"
    """After the software that fails was installed anew."""
    reboot: Duration = "5m"
    """After the host was rebooted."""
    replace: Duration = "5m"
    """For which a host must not answer at all before another one takes its place."""


class Remediation(ApiModel):
    """What is done about hosts that are not as they should be, and when it is not."""

    mode: Literal["Repair", "Report", "Off"] = "Repair"
    """`Repair` what drifted or fails, `Report` it in conditions alone, or look for neither."""
    max_unhealthy: MaxUnhealthy = "25%"
    """With more unhealthy nodes than this nothing is done about any of them, since the cause is most
    probably none of theirs. A share always allows one node; 0 allows none."""
    up_to: Rung = "Replace"
    """The last thing that is tried of a host. Only hosts of a pool can be replaced."""
    patience: Patience = Field(default_factory=Patience)
    """How long is waited after each attempt; twice as long with each further one of its kind."""


class RemediationJob(ApiModel):
    """What is done about a fault now; recorded before it is begun, so that it is begun once."""

    id: str = ""
    """ID of the job on the host; empty where nothing is done on the host."""
    exit: int | None = None
    """How it ended; absent while that is not known."""


class RemediationAttempt(ApiModel):
    """One thing that was tried."""

    rung: Rung
    """What was tried."""
    at: datetime
    """When it was begun."""
    fault: str = Field(default="", max_length=63)
    """Of which fault."""
    exit: int | None = None
    """How its job ended; absent if that is not known."""


class RemediationStatus(ApiModel):
    """A fault of a host, and what was done about it."""

    fault: str = Field(max_length=63)
    """What is wrong, as one word: a reason of the condition `Healthy`."""
    service: str | None = Field(default=None, max_length=63)
    """Whose fault it is, if it is one of a service's."""
    component: str | None = Field(default=None, max_length=63)
    """The software that the service belongs to."""
    message: str = Field(default="", max_length=1024)
    """What was seen, as a sentence."""
    since: datetime
    """When it was first seen."""
    well: datetime | None = None
    """Since when the host has been well again; what was tried is remembered for a while."""
    rung: Rung | None = None
    """What was tried last."""
    at: datetime | None = None
    """When that was begun."""
    tries: int = 0
    """How often that was tried in a row."""
    attempts: int = 0
    """How often anything was tried."""
    rounds: int = 0
    """How often all of it was tried in vain."""
    job: RemediationJob | None = None
    """What is, or was last, done about it."""
    boot_id: str | None = Field(default=None, alias="bootID", max_length=63)
    """ID of the boot that a reboot ends."""
    held: str | None = Field(default=None, max_length=512)
    """Why nothing is done about it at the moment."""
    history: list[RemediationAttempt] = Field(default_factory=list)
    """The newest attempts, 8 at most."""


class Drift(ApiModel):
    """One thing on the host that is not as it was made."""

    component: str = Field(max_length=63)
    """Which software it belongs to."""
    what: str = Field(max_length=512)
    """What deviates, as a sentence."""
    since: datetime
    """When it was first seen."""
    repaired: datetime | None = None
    """When it was last seen to be right again; absent while it deviates."""
