"""Component: one version of one piece of on-host software, and how to deal with it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.fields import (
    URL,
    WHITE,
    Duration,
    FreeForm,
    Name,
    ObjectName,
    SoftwareVersion,
    rule,
    rules,
    says,
)
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind

UnitName = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.@]*[A-Za-z0-9])?$",
        json_schema_extra=says("write the name of a systemd service without .service"),
    ),
]

Change = Literal["nothing", "restart", "drain", "reboot"]
"""What a node goes through when something of it is changed, from the mildest on."""


class Platform(ApiModel):
    """A kind of host that the component runs on."""

    os: Literal["linux"] = "linux"
    """Operating system."""
    arch: Literal["amd64", "arm64"]
    """Processor architecture as Go names it."""


class Artifact(ApiModel):
    """A file that is fetched onto the host and checked before anything uses it."""

    name: Name = Field(max_length=63)
    """How scripts name it: `$KOK_ARTIFACT_<NAME>` is its path on the host."""
    path: str = Field(
        max_length=1024,
        pattern=rf"^[^/{WHITE}][^{WHITE}]*$",
        json_schema_extra=says("write a path without / in front, below the artifact address"),
    )
    """Where it lies below the machine's artifact address."""
    url: URL = ""
    """Where it lies if the machine has no artifact address."""
    arch: Literal["amd64", "arm64"] | None = None
    """Architecture that it is for; all if absent."""
    sha256: str = Field(
        max_length=64,
        pattern=r"^[0-9a-f]{64}$",
        json_schema_extra=says("write 64 lower-case hexadecimal digits, as sha256sum prints them"),
    )
    """SHA-256 of its content in hexadecimal."""


RemainingName = Annotated[
    str,
    Field(
        max_length=128,
        pattern=rf"^[^/{WHITE}]+$",
        json_schema_extra=says("write a name or a shell pattern, without / and blanks"),
    ),
]


class HostFile(ApiModel):
    """A file that is written onto the host in one piece."""

    path: str = Field(
        max_length=1024,
        pattern=rf"^/[^{WHITE}](.*[^{WHITE}])?$",
        json_schema_extra=says("write an absolute path, such as /etc/tool.conf"),
    )
    """Absolute path, a Jinja2 template that sees `params`, `machine` and `item`."""
    mode: str = Field(
        default="0644",
        max_length=4,
        pattern=r"^0[0-7]{3}$",
        json_schema_extra=says("write permissions as a text of four octal digits, such as '0644'"),
    )
    """Permissions in octal."""
    content: str = Field(max_length=131072)
    """Content, a Jinja2 template that sees `params`, `version`, `machine`, `facts` and `item`."""
    for_each: str = Field(default="", max_length=63)
    """Name of a parameter that is a list or a map: one file is written for each of its entries,
    which the templates see as `item` (of a map with `key` and `value`)."""


class Scripts(ApiModel):
    """POSIX shell scripts, run as root with `set -eu`; Jinja2 templates like the files.

    Each must do no harm when run twice.
    """

    probe: str = Field(max_length=65536)
    """Prints the version found, or nothing; runs often and changes nothing. Sees no `facts`."""
    install: str = Field(default="", max_length=65536)
    """Puts the wanted version in place, also over another version if there is no `upgrade`."""
    upgrade: str = Field(default="", max_length=65536)
    """Goes from another version to the wanted one; `install` if empty."""
    uninstall: str = Field(default="", max_length=65536)
    """Removes all that `install` put in place."""
    health: str = Field(default="", max_length=65536)
    """Exits with 0 if the software works, otherwise prints why not. Runs after an installation, and
    every few seconds if there are `services`; then an answer after 5 s is none."""
    restart: str = Field(default="", max_length=65536)
    """Restarts the software after its files changed."""


class Remains(ApiModel):
    """A place in which the software leaves what no file of it and no package lists."""

    path: str = Field(
        max_length=1024,
        pattern=rf"^(/[^/{WHITE}]+){{2,}}$",
        json_schema_extra=says(
            "write an absolute path of two parts or more, such as /var/lib/tool"
        ),
    )
    """Directory; it may be a link, or mounted from elsewhere."""
    names: list[RemainingName] = Field(min_length=1, max_length=32)
    """Shell patterns of what the software makes in it: nothing else there is looked for or touched."""


class ComponentSpec(ApiModel):
    """One version of one piece of software."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec of a Component cannot be changed, since hosts rely on it; create another "
                "Component whose name carries the new version",
                "self == oldSelf",
            )
        )
    )

    name: Name = Field(max_length=63)
    """Name of the software."""
    version: SoftwareVersion
    """Its version, as `probe` prints it."""
    platforms: list[Platform] = Field(default_factory=list, max_length=8)
    """Hosts that it runs on; all if empty."""
    parameters: FreeForm = Field(default_factory=dict)
    """JSON schema of `params`, with defaults."""
    artifacts: list[Artifact] = Field(default_factory=list, max_length=32)
    """Files that are fetched onto the host."""
    files: list[HostFile] = Field(default_factory=list, max_length=64)
    """Files that are written onto the host before `install` and again when they differ."""
    scripts: Scripts
    """What is run on the host."""
    services: list[UnitName] = Field(default_factory=list, max_length=8)
    """systemd services of the software, in the order in which they are started anew. One that fails is
    told in the Machine's conditions and remedied by its `remediation`, and none may run once the
    software was removed."""
    depends_on: list[ObjectName] = Field(default_factory=list, max_length=16)
    """Software (by `spec.name`) that must be in place before, if the machine has it at all."""
    timeout: Duration = "5m"
    """How long its installation may take, downloads included."""
    change: Change | None = None
    """What a node that serves goes through when the software is changed there: `nothing`; a `restart`
    of the software, under which pods go on; `drain`, its pods leave before; `reboot`, they leave, and
    the host boots. `restart` if absent."""
    change_version: Change | None = None
    """The same where its version changes; as `change` if absent."""
    remains: list[Remains] = Field(default_factory=list, max_length=16)
    """What the software leaves beside its files; where `uninstall` does not take all of that away, as
    behind links and mounts, it is taken away after it, and a host is clean only without it."""


class ComponentStatus(Status):
    """What the operator makes of it."""


class Component(Resource):
    """One version of one piece of on-host software; Machines refer to it by name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "'metadata.name: ' + self.metadata.name + ' is not how Machines look for it; write "
                "' + self.spec.name + '-' + self.spec.version",
                "self.metadata.name == self.spec.name + '-' + self.spec.version",
                expression=True,
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("Component"),
        short_names=("kcomp",),
        columns=(
            Column("Software", ".spec.name"),
            Column("Version", ".spec.version"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: ComponentSpec
    status: ComponentStatus = Field(default_factory=ComponentStatus)


__all__ = [
    "Artifact",
    "Change",
    "Component",
    "ComponentSpec",
    "HostFile",
    "Platform",
    "Remains",
    "Scripts",
]
