"""How an EtcdCluster's databases are looked after, and how etcd itself is set up."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from kok.api.fields import Percent, rule, rules, says
from kok.api.meta import ApiModel


class EtcdCompaction(ApiModel):
    """Which history etcd forgets by itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "write a duration such as 8h with mode Periodic, and a number of revisions such as "
                "10000 with mode Revision",
                "self.retention.matches(self.mode == 'Revision' ? '^[1-9][0-9]{0,9}$' : "
                "'^[1-9][0-9]{0,5}[hm]$')",
            )
        )
    )

    mode: Literal["Periodic", "Revision"] = "Periodic"
    """Whether the age of a revision decides or the number of those after it."""
    retention: str = Field(default="8h", max_length=10)
    """What is kept: a time, or a number of revisions.

    API servers compact by themselves every five minutes; this is for other clients.
    """


class EtcdMaintenance(ApiModel):
    """What is done to the members' databases."""

    defrag_at: Percent = "50%"
    """A member whose file holds less data than this share of it is defragmented.

    One at a time, the leader last and not while it leads; files below 100 MiB are left alone.
    """
    window: str = Field(
        default="",
        pattern=r"^((([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])?)$",
        max_length=11,
        json_schema_extra=says("write hours of the day in UTC, such as 22:00-04:00"),
    )
    """When members may be defragmented; always if empty.

    The only member of a cluster is defragmented only within a window: nobody answers meanwhile.
    """
    on_full: Literal["Automatic", "Manual"] = "Automatic"
    """What is done when the database has reached its quota and refuses writes.

    `Automatic`: all history is compacted and members are defragmented, at most 3 times a day; no
    key is ever deleted. In either case the alarm is taken back as soon as there is room again.
    """
    compaction: EtcdCompaction = Field(default_factory=EtcdCompaction)
    """Which history etcd forgets by itself."""


class EtcdTuning(ApiModel):
    """etcd's own defaults hold for what is absent."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "electionMilliseconds must be at least 5 times heartbeatMilliseconds; "
                "etcd's defaults are 1000 and 100",
                "(has(self.electionMilliseconds) ? self.electionMilliseconds : 1000) >= "
                "5 * (has(self.heartbeatMilliseconds) ? self.heartbeatMilliseconds : 100)",
            )
        )
    )

    heartbeat_milliseconds: int | None = Field(default=None, ge=10, le=10000)
    """How often a leader tells the others that it is there: the round-trip time between them."""
    election_milliseconds: int | None = Field(default=None, ge=50, le=50000)
    """How long members wait for a silent leader before they elect another."""
    snapshot_count: int | None = Field(default=None, ge=1000, le=1000000)
    """Transactions after which a member writes a snapshot; more needs more memory."""
