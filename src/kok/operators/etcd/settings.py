"""Settings of the etcd operator, by environment variables `KOK_...`."""

from __future__ import annotations

from pydantic import Field

from kok.runtime.policy import Policies


class EtcdSettings(Policies):
    """All times are in seconds."""

    worker_image: str = ""
    """Image of the Jobs that move backups; the chart sets it to the operators' own."""
    worker_jobs: int = Field(default=4, ge=1)
    """How many of them run at the same time, over all EtcdClusters; of one namespace at most three
    quarters. The first one of a namespace waits only for twice as many."""
    worker_deadline: float = Field(default=3600.0, ge=60.0)
    """After what time one of them is given up and tried again."""
