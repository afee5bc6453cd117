"""Puts helm into KOK's image: from where the builder has it, or from its project's release site.

    image_helm.py TARGET VERSION [PATH]

What is downloaded has the SHA-256 that is published beside it, by HTTPS. Runs in the base image,
with nothing but Python.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path

SITE = "https://get.helm.sh"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def main(target: str, version: str, path: str = "") -> None:
    """Raises what keeps it from that."""
    place = Path(target)
    if path:
        shutil.copyfile(path, place)
    else:
        place.write_bytes(downloaded(version, ARCHITECTURES[os.uname().machine]))
    place.chmod(0o755)


def downloaded(version: str, architecture: str) -> bytes:
    """The program out of its archive. Raises `SystemExit` for an archive with another sum."""
    url = f"{SITE}/helm-{version}-linux-{architecture}.tar.gz"
    wanted = _get(f"{url}.sha256sum").decode().split()[0]
    packed = _get(url)
    if hashlib.sha256(packed).hexdigest() != wanted:
        raise SystemExit(f"{url} has not the SHA-256 that is published beside it")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = archive.extractfile(f"linux-{architecture}/helm")
        if found is None:
            raise SystemExit(f"{url} holds no helm")
        return found.read()


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - it is https
        content: bytes = answer.read()
        return content


if __name__ == "__main__":
    main(*sys.argv[1:])
