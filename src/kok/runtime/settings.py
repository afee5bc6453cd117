"""What can be set from outside, by environment variables `KOK_...`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the runtime; an operator may have further ones in a model of its own.

    All times are in seconds.
    """

    model_config = SettingsConfigDict(env_prefix="KOK_", use_attribute_docstrings=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to look after, separated by commas; all of them if empty."""
    lease_namespace: str = "kok-system"
    """Where the Leases lie; the chart sets it to the operator's own namespace."""
    lease_duration: float = Field(default=15.0, ge=3.0)
    """How long a leader that fell silent is still taken for one."""
    lease_renew: float = Field(default=4.0, ge=0.2)
    """How often the leader renews its Lease and the others look at it."""
    identity: str = ""
    """Name in the Lease; the host's name and a random part if empty."""
    resync: float = Field(default=300.0, gt=0)
    """How often an object is looked at although nothing seems to have changed."""
    passes: int = Field(default=16, ge=1)
    """How many objects of one operator are worked on at the same time, three quarters of them of
    one namespace at most; a pass that only waits for an answer counts for its own namespace."""
    pass_timeout: float = Field(default=900.0, gt=0)
    """After what time a pass is given up and tried again."""
    backoff_min: float = Field(default=1.0, gt=0)
    """Delay after the first error; it doubles with each further one."""
    backoff_max: float = Field(default=300.0, gt=0)
    """Longest delay after errors."""
    kube_timeout: float = Field(default=30.0, gt=0)
    """Deadline of one request to the meta cluster's API."""
    http_host: str = ""
    """Address of the health and metrics server; all if empty."""
    http_port: int = Field(default=8080, ge=0, le=65535)
    """Its port; any free one if 0."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important messages to log."""
    log_format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for people."""
    health_pending: float = Field(default=600.0, gt=0)
    """How old a trigger that no pass has taken up may get before `/healthz` fails."""

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
