"""Podman, and what it needs after its containers were ended behind its back.

Podman learns of a container's end from a file that the container's monitor writes. When the
monitor is killed along with the container (a machine's clean-up does that), podman believes the
container to be running for ever and refuses to start it. `revive` writes that file in the
monitor's place.
"""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.errors import CommandError, LabError
from e2e.lab.machine.commands import run, succeeds

LABEL = "dev.kok.lab"
# crun refuses hybrid cgroups, and what runs below a host should be what runs the host.
PODMAN = ("podman", "--runtime", "runc")
_KILLED = "137"
_ENDED = frozenset("ZXx")
_AT_WORK = frozenset({"running", "stopping", "paused"})
# What podman itself takes as default, as far as this process may give it away.
_MOST_FILES, _MOST_PROCESSES = 1_048_576, 32_768


@dataclass(frozen=True)
class Container:
    """A container as podman sees it, with ``alive`` as the kernel sees it."""

    id: str
    name: str
    status: str
    pid: int
    image: str
    labels: Mapping[str, str]
    tmpdir: Path

    @property
    def alive(self) -> bool:
        """Whether its first process runs. A paused container is alive."""
        return self.pid > 0 and _belongs(self.pid, self.id)


def _belongs(pid: int, container: str) -> bool:
    """Whether a process is the container's and lives: the number may long be somebody else's.

    One that was ended and that nobody has taken note of yet still has a number and a group.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in _ENDED and (
            container in Path(f"/proc/{pid}/cgroup").read_text()
            or container in Path(f"/proc/{pid}/mountinfo").read_text()
        )
    except OSError:
        return False


async def inspect(*names: str) -> list[Container]:
    """The containers of these names or IDs; raises CommandError when one does not exist."""
    if not names:
        return []
    return parse(await run(*PODMAN, "container", "inspect", *names))


def parse(inspect_json: str) -> list[Container]:
    return [
        Container(
            id=raw["Id"],
            name=raw["Name"],
            status=raw["State"]["Status"],
            pid=raw["State"].get("Pid") or 0,
            image=raw["ImageName"],
            labels=raw["Config"].get("Labels") or {},
            tmpdir=_tmpdir(raw["Config"].get("ExitCommand") or ()),
        )
        for raw in json.loads(inspect_json)
    ]


def _tmpdir(exit_command: Sequence[str]) -> Path:
    words = list(exit_command)
    with contextlib.suppress(ValueError, IndexError):
        return Path(words[words.index("--tmpdir") + 1])
    return Path("/run/libpod")


async def of_lab(lab: str) -> list[Container]:
    """All containers that carry the lab's label, sorted by name."""
    for last in (False, False, True):
        found = await run(
            *(*PODMAN, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}={lab}")
        )
        try:
            return sorted(await inspect(*found.split()), key=lambda container: container.name)
        except CommandError:  # one of them went away between the two commands
            if last:
                raise
    raise AssertionError("the last try returns or raises")


async def find(name: str) -> Container | None:
    """The container of that name, if there is one."""
    if not await succeeds(*PODMAN, "container", "exists", name):
        return None
    return (await inspect(name))[0]


async def revive(container: Container) -> bool:
    """Start a container that does not run, also one that podman takes for running.

    False means that it cannot be started and has to be made anew.
    """
    if container.alive:
        return True
    _note_end(container)
    return await succeeds(*PODMAN, "start", container.name, timeout=60)


def _note_end(container: Container) -> None:
    """Let podman know of the end of a container that it takes for running."""
    exits = container.tmpdir / "exits"
    if not container.alive and container.status in _AT_WORK and exits.is_dir():
        (exits / container.id).write_text(_KILLED)


async def keep(lab: str, name: str) -> bool:
    """Have a container run that was made before: left alone, thawed or revived.

    False means that there is none, or none that can be started: make it with `make`.
    Raises LabError when the name belongs to somebody else's container.
    """
    found = await find(name)
    if found is None:
        return False
    if found.labels.get(LABEL) != lab:
        raise LabError(
            f"a container named {name} exists and is not this lab's: remove it, "
            "or name the lab otherwise with KOK_LAB"
        )
    if found.alive and found.status == "paused":
        await run(*PODMAN, "unpause", name)
        # One that was killed while it was frozen has died of it only now.
        found = await find(name)
    return found is not None and await revive(found)


async def make(
    lab: str, name: str, image: str, options: Sequence[str], command: Sequence[str] = ()
) -> None:
    """Make a container and start it, in the place of one of that name that is of no use."""
    await remove(name)
    await run(
        *(*PODMAN, "run", "--detach", "--name", name, "--label", f"{LABEL}={lab}"),
        *(*_limits(), *options, image, *command),
        timeout=120,
    )


async def execute(
    name: str, *argv: str, stdin: str | bytes | None = None, timeout: float | None = None
) -> str:
    """Run a command as root inside a container; its standard output."""
    interactive = ("--interactive",) if stdin is not None else ()
    return await run(*(*PODMAN, "exec", *interactive, name, *argv), stdin=stdin, timeout=timeout)


async def remove(name: str) -> None:
    """Remove a container and its anonymous volumes, whatever state podman has of it."""
    for last in (False, False, True):
        if found := await find(name):
            _note_end(found)
        try:
            await run(
                *(*PODMAN, "rm", "--force", "--time", "0", "--volumes", "--ignore", name),
                timeout=120,
            )
        except CommandError:
            # Of what was ended behind its back podman learns by failing; the next try works.
            if last:
                raise
        else:
            return


async def labelled(kind: str, lab: str) -> list[str]:
    """Names of the ``network`` or ``volume`` objects that carry the lab's label."""
    found = await run(
        "podman", kind, "ls", "--filter", f"label={LABEL}={lab}", "--format", "{{.Name}}"
    )
    return sorted(found.split())


def _limits() -> Sequence[str]:
    """Limits that can be set without CAP_SYS_RESOURCE: podman's own defaults may lie above."""
    files = _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    processes = _limit(resource.RLIMIT_NPROC, _MOST_PROCESSES)
    return (
        *("--ulimit", f"nofile={files}:{files}"),
        *("--ulimit", f"nproc={processes}:{processes}"),
        # podman's own limit of 2048 is soon reached by a host that runs control planes.
        *("--pids-limit", "-1"),
    )


def _limit(kind: int, most: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(hard, most)
