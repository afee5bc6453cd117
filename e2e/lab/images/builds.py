"""Images built by podman and pushed to the lab's registry.

What was pushed is noted in the cache with the hash of everything that it was made of; an image is
built again only when that hash changes or the registry no longer has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.lab.images import rootfs
from e2e.lab.images.catalog import Image
from e2e.lab.images.rootfs import FILES, IMAGE_PREFIX
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.programs.binaries import Builder, Program, architecture
from e2e.lab.services.servers import Services

# Shared by all builds, so that what a killed one left can be told from what a live one uses.
BUILDING = ("podman-build",)


class Images:
    """Builds images and puts them into the registry of one lab."""

    def __init__(self, cache: Cache, builder: Builder, services: Services) -> None:
        self.cache = cache
        self.builder = builder
        self.services = services
        self._slots = asyncio.Semaphore(2)

    async def ensure(self, images: Sequence[Image]) -> None:
        """Make sure that the registry serves these images; their programs must be built."""
        await rootfs.ensure_static(self.cache)
        async with asyncio.TaskGroup() as group:
            for image in images:
                group.create_task(self._ensure(image))

    async def _ensure(self, image: Image) -> None:
        paths = {item: self._path(item) for item in image.programs.values()}
        digest = image.digest(paths)
        note = self.cache.path("images", image.reference)
        async with self._slots, self.cache.lock("images", image.reference):
            if await self._is_served(image, digest, note):
                return
            async with self.cache.workspace("images", image.reference) as work:
                await asyncio.to_thread(_fill, work, image, paths)
                pushed = await self._push(work, image, digest)
            _write_note(note, digest, pushed)

    async def _is_served(self, image: Image, digest: str, note: Path) -> bool:
        made_of, pushed = _read_note(note)
        if made_of != digest:
            return False
        return await self.services.digest(image.repository, image.tag) == pushed

    async def _push(self, work: Path, image: Image, digest: str) -> str:
        """Build and push one image; the digest by which the registry knows it."""
        log = self.cache.logs / "images.log"
        local = f"{IMAGE_PREFIX}/build:{digest}"
        async with self.cache.lock(*BUILDING, shared=True):
            await run(
                *("podman", "build", "--pull=never", "--timestamp=0", "--layers=false"),
                *("--isolation=chroot", "--network=host", "--tag", local),
                *("--file", work / "Containerfile", work / "context"),
                log=log,
                timeout=600,
            )
        await self.push(local, image.repository, image.tag)
        # The registry holds it now; podman's storage is no cache of ours.
        await run("podman", "rmi", "--no-prune", local)
        return await self.services.digest(image.repository, image.tag) or ""

    async def push(self, local: str, repository: str, tag: str) -> None:
        """Push an image of podman's storage."""
        target = f"docker://{self.services.registry}/{repository}:{tag}"
        await run(
            *("podman", "push", "--tls-verify=false", "--quiet", local, target),
            log=self.cache.logs / "images.log",
            timeout=600,
        )

    def _path(self, item: Program) -> Path:
        return pause_path(self.cache) if item.name == "pause" else self.builder.path(item)


async def sweep(cache: Cache) -> None:
    """Remove the working containers of builds that were killed, unless one is under way.

    Podman lists them only when asked for those of other tools, and they carry no label. What tells
    them is that they come from an image of ours without being a container of podman's; or from the
    nameless image of an earlier step of the same build, which begins with the layers of ours.
    """
    with cache.if_free(*BUILDING) as free:
        if not free:
            return
        listed = ("podman", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.ImageID}}")
        known = set((await run(*listed)).splitlines())
        working = (await run(*listed, "--external")).splitlines()
        found = [line.split() for line in working if line not in known]
        if not found:
            return
        names = ("podman", "images", "--no-trunc", "--filter", f"reference={IMAGE_PREFIX}/*")
        ours = [await _layers(image) for image in (await run(*names, "--quiet")).split()]
        for container, image in (words for words in found if len(words) == 2):
            if begins_with(await _layers(image), ours):
                await run("podman", "rm", "--force", container, check=False)


def begins_with(layers: Sequence[str], bases: Sequence[Sequence[str]]) -> bool:
    """Whether an image was made from one of others, by the layers of each."""
    return any(base and list(layers[: len(base)]) == list(base) for base in bases)


async def _layers(image: str) -> list[str]:
    """The layers of an image, lowest first; none if it went away."""
    said = await run(
        *("podman", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image), check=False
    )
    layers: list[str] = json.loads(said) if said.strip() else []
    return layers


def _read_note(note: Path) -> tuple[str, str]:
    """What an image was made of and what the registry called the result; empty if unknown."""
    if not note.exists():
        return "", ""
    made_of, pushed = note.read_text().split()
    return made_of, pushed


def _write_note(note: Path, made_of: str, pushed: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    draft = note.with_name(f"{note.name}.new")
    draft.write_text(f"{made_of} {pushed}")
    draft.rename(note)


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the file system wants one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _fill(work: Path, image: Image, paths: Mapping[Program, Path]) -> None:
    """Lay out the build context: programs are linked, not copied, where the file system can."""
    root = work / "context" / "root"
    root.mkdir(parents=True)
    for inside, item in image.programs.items():
        target = root / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(paths[item], target)
    (work / "Containerfile").write_text(image.containerfile())


def pause_path(cache: Cache) -> Path:
    return cache.path("programs", "pause", "3.10.1", architecture()) / "pause"


async def ensure_pause(cache: Cache) -> Path:
    """Compile the program of the pause image, ten lines of C without libraries to load."""

    async def build(work: Path) -> None:
        source = FILES / "pause" / "pause.c"
        await run("gcc", "-Os", "-static", "-s", "-Wall", "-o", work / "pause", source)

    return await cache.ensure(("programs", "pause", "3.10.1", architecture()), build) / "pause"
