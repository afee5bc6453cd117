"""How hosts are logged in to."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from kok.api.fields import Address, HostKey, rule, says
from kok.api.meta import ApiModel

PORT = 22
"""SSH port that need not be told."""
LoginName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        pattern=r"^[a-z_][a-z0-9_.-]*$",
        json_schema_extra=says("write a login name, such as ops"),
    ),
]


class Bastion(ApiModel):
    """A host through which others are reached."""

    address: Address
    """Name or address."""
    port: int = Field(default=22, ge=1, le=65535)
    """SSH port."""
    user: LoginName
    """Login name; it needs no more rights than to have connections passed on."""
    secret: str = Field(default="", max_length=253)
    """Secret in the same namespace with `ssh-privatekey` (and `passphrase`), or `password`; that of
    the hosts behind it if empty."""
    host_key: HostKey = Field(min_length=1)
    """Fingerprint of its SSH host key (`SHA256:...`)."""

    @property
    def place(self) -> str:
        """Where it is, in one text: its address, and its port if that is not the usual one."""
        return self.address if self.port == PORT else f"{self.address} port {self.port}"


class SSHAccess(ApiModel):
    """How the operator logs in to a host."""

    user: LoginName = "root"
    """Login name; anyone but root needs sudo, with or without a password."""
    secret: str = Field(min_length=1, max_length=253)
    """Secret in the same namespace with `ssh-privatekey` (and `passphrase`), or `password`, or both.
    Where sudo asks for a password it gets `sudo-password`, or `password` if there is no such key."""
    jump: Bastion | None = None
    """The bastion through which the host is reached. The host is then to be written as an IP address:
    what a name leads to behind the bastion nobody can tell before it."""

    @property
    def behind(self) -> str:
        """Where the bastion is; empty if there is none."""
        return self.jump.place if self.jump is not None else ""


def behind_bastion() -> dict[str, Any]:
    """The rule of a spec with `ssh` and an `address`."""
    return rule(
        "spec.address: behind a bastion (ssh.jump) write the host's IP address, such as 10.0.0.21, since "
        "nobody can tell before it what a name leads to there",
        "!has(self.ssh.jump) || isIP(self.address)",
    )
