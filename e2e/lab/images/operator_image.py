"""KOK's own image, built from the checkout's Dockerfile as a user would build it.

Its tag is the hash of what the Dockerfile copies, so that an unchanged checkout builds nothing and
a changed one is never taken for an older one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from e2e.lab.errors import LabError
from e2e.lab.images import rootfs
from e2e.lab.images.builds import BUILDING, Images
from e2e.lab.images.rootfs import IMAGE_PREFIX
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.programs.binaries import program
from e2e.lab.steps.durations import Durations
from e2e.lab.steps.forecast import Pending

CHECKOUT = Path(__file__).resolve().parents[3]
REPOSITORY = "kok/kok"
REFERENCE = f"ghcr.io/{REPOSITORY}"
NAME = "KOK's image"
USUAL_SECONDS = 90.0
"""How long it takes on a quiet machine of two cores."""
_REPOSITORIES = "docker/registry/v2/repositories"
KEPT = 3
"""So many images stay in podman's storage."""
_HELM = "/run/helm"
"""Where a builder finds the lab's helm, which is in the image as well."""
_BUNDLE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def copied(dockerfile: str) -> list[str]:
    """The paths that a Dockerfile copies from its context."""
    found: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        words = line.split()
        if not words or words[0].upper() not in {"COPY", "ADD"}:
            continue
        flags = [word for word in words[1:] if word.startswith("--")]
        if any(flag.startswith("--from=") for flag in flags):
            continue
        found += words[1 + len(flags) : -1]
    return found


def digest(context: Path, paths: Iterable[str], base: str) -> str:
    """Hash of the base image and of all files below these paths of the context."""
    whole = hashlib.sha256(base.encode())
    for path in sorted({"Dockerfile", *paths}):
        for file in _files(context / path):
            whole.update(f"\0{file.relative_to(context)}\0".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def made_of(base: str) -> str:
    """What the image is made of beside the checkout: the base image, and helm."""
    return f"{base} helm {program('helm').version}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )


def stages(dockerfile: str) -> list[str]:
    """The names of a Dockerfile's stages but the last, which is the image itself."""
    found = []
    for line in dockerfile.splitlines():
        words = line.split()
        if words and words[0].upper() == "FROM":
            found.append(words[-1] if len(words) > 2 and words[-2].upper() == "AS" else "")
    return [name for name in found[:-1] if name]


async def ensure(cache: Cache, images: Images, context: Path = CHECKOUT) -> str:
    """Make sure that the registry serves the checkout's image; its reference.

    Raises LabError when the checkout has no Dockerfile, CommandError when the build fails.
    """
    dockerfile = context / "Dockerfile"
    if not dockerfile.exists():
        raise LabError(f"{dockerfile} is missing: KOK's image is built from it")
    recipe = dockerfile.read_text()
    base = await rootfs.ensure(cache, rootfs.PYTHON)
    tag = digest(context, copied(recipe), made_of(base))
    if await images.services.digest(REPOSITORY, tag):
        # Another lab's build, which may take minutes, is not waited for.
        return f"{REFERENCE}:{tag}"
    async with cache.lock("operator-image"):
        if not await images.services.digest(REPOSITORY, tag):
            begun = time.monotonic()
            log = cache.logs / "operator-image.log"
            helm = (await images.builder.ensure([program("helm")]))["helm"]
            build = ("podman", "build", "--pull=never", "--network=host", *_options(base, helm))
            # Stages get names of their own, so that those of older builds can be found.
            local = f"{IMAGE_PREFIX}/operator:{tag}"
            async with cache.lock(*BUILDING, shared=True):
                for stage in stages(recipe):
                    target = ("--target", stage, "--tag", f"{IMAGE_PREFIX}/operator-{stage}:{tag}")
                    await run(*build, *target, context, log=log, timeout=1200)
                await run(*build, "--tag", local, context, log=log, timeout=1200)
            await images.push(local, REPOSITORY, tag)
            await _forget_older(tag)
            Durations(cache).note(NAME, time.monotonic() - begun)
    return f"{REFERENCE}:{tag}"


def pending(cache: Cache, context: Path = CHECKOUT) -> list[Pending]:
    """The image, if the registry of this cache does not hold it."""
    recipe = (context / "Dockerfile").read_text()
    tag = digest(context, copied(recipe), made_of(rootfs.PYTHON.image))
    tags = cache.path("registry").joinpath(_REPOSITORIES, REPOSITORY, "_manifests", "tags")
    if (tags / tag).exists():
        return []
    last = Durations(cache).known()
    return [Pending(NAME, last.get(NAME, USUAL_SECONDS), NAME in last)]


def _options(base: str, helm: Path) -> list[str]:
    """Base image, helm, and the machine's way to its package index: CA bundle, pip's configuration."""
    options = ["--build-arg", f"BASE={base}"]
    options += ["--volume", f"{helm}:{_HELM}:ro", "--build-arg", f"HELM={_HELM}"]
    if bundle := next((os.environ[name] for name in _BUNDLE_VARIABLES if name in os.environ), None):
        options += ["--volume", f"{bundle}:{bundle}:ro", "--build-arg", f"PIP_CERT={bundle}"]
    configs = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf").expanduser())
    if config := next((path for path in configs if path.exists()), None):
        options += ["--volume", f"{config}:/etc/pip.conf:ro"]
    return options


async def _forget_older(tag: str) -> None:
    """Remove early builds from podman's storage, with the layers that only they have.

    The latest stay, since labs of several checkouts take turns.
    """
    latest_first = ("podman", "images", "--sort", "created", "--format", "{{.Repository}}:{{.Tag}}")
    names = (await run(*latest_first)).split()
    ours = [name for name in names if name.startswith(f"{IMAGE_PREFIX}/operator")]
    for name in outdated(ours, tag):
        await run("podman", "rmi", name, check=False)


def outdated(images: Sequence[str], tag: str) -> list[str]:
    """Which of these images, latest first, are neither of that tag nor of the latest `KEPT`."""
    tags = dict.fromkeys([tag, *(name.rpartition(":")[2] for name in images)])
    kept = list(tags)[:KEPT]
    return [name for name in images if name.rpartition(":")[2] not in kept]
