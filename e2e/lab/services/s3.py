"""An S3 server beside the registry, made when somebody asks for it: versitygw on a volume.

It shows a certificate of a CA of its own, as the stores of many sites do, and keeps each object as
a file, so that tests can look at what was stored, and damage it.
"""

from __future__ import annotations

import secrets
import shutil
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from e2e.lab.cluster.state import State, Store
from e2e.lab.errors import LabError
from e2e.lab.images import rootfs
from e2e.lab.machine import podman
from e2e.lab.machine.commands import run, succeeds
from e2e.lab.machine.podman import LABEL
from e2e.lab.programs.binaries import program
from e2e.lab.services.servers import answers

NAME = "s3"
PROGRAM = program("versitygw")
REGION = "lab-1"
_PORT = 7070
_DATA, _KEYS = "/srv/s3", "/etc/s3"
# What the server itself keeps beside objects, such as the parts of unfinished uploads.
_OWN = ".sgwtmp"


@dataclass(frozen=True)
class S3:
    """The server as its users and as tests see it. ``ca`` is PEM; ``root`` holds the buckets."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    ca: str
    root: Path
    keys: Path
    region: str = REGION

    def make_bucket(self, name: str) -> None:
        """Make a bucket, empty; one of that name goes with all that it holds."""
        self.remove_bucket(name)
        (self.root / name).mkdir()

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket with all that it holds, if it is there."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def objects(self, bucket: str) -> dict[str, int]:
        """Size in bytes of each object by key, sorted; unfinished uploads are none."""
        top = self.root / bucket
        return {
            str(file.relative_to(top)): file.stat().st_size
            for file in sorted(top.rglob("*"))
            if file.is_file() and _OWN not in file.relative_to(top).parts
        }

    def unfinished(self, bucket: str) -> list[str]:
        """What uploads that were never completed left behind."""
        own = self.root / bucket / _OWN
        return sorted(str(file.relative_to(own)) for file in own.rglob("*") if file.is_file())

    def copy(self, bucket: str, key: str, other: str) -> None:
        """Copy an object to another key of its bucket, as the server itself would."""
        target = self.root / bucket / other
        target.parent.mkdir(parents=True, exist_ok=True)
        # With its extended attributes, where the server keeps what it knows of an object.
        shutil.copy2(self.root / bucket / key, target)

    def flip_bit(self, bucket: str, key: str, offset: int | None = None) -> None:
        """Turn over one bit of an object, by default in its middle; size and ETag stay."""
        file = self.root / bucket / key
        place = file.stat().st_size // 2 if offset is None else offset
        with file.open("r+b") as content:
            content.seek(place)
            (byte,) = content.read(1)
            content.seek(place)
            content.write(bytes([byte ^ 0x01]))

    def cut_short(self, bucket: str, key: str, size: int) -> None:
        """Throw away all of an object behind its first ``size`` bytes."""
        with (self.root / bucket / key).open("r+b") as content:
            content.truncate(size)

    def certificate(self, address: str) -> ssl.SSLContext:
        """A server's side of TLS at another address, under the same CA."""
        issued = _authority(self.keys).issue_cert(address)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issued.configure_cert(context)
        return context

    def trust(self) -> ssl.SSLContext:
        """A client's side of TLS: trusts this CA and no other."""
        return ssl.create_default_context(cadata=self.ca)


def endpoint(state: State) -> str:
    """Where hosts, pods and machine reach the server."""
    return f"https://{state.s3}:{_PORT}"


async def ensure(state: State, store: Store, network: str, binary: Path) -> S3:
    """Make sure that the server runs and answers. ``binary`` is versitygw, built."""
    _ensure_keys(state, store.s3)
    container, volume = f"{state.name}-{NAME}", f"{state.name}-{NAME}"
    if not await succeeds("podman", "volume", "exists", volume):
        await run("podman", "volume", "create", "--label", f"{LABEL}={state.name}", volume)
    if not await podman.keep(state.name, container):
        options = (
            *("--network", network, "--ip", str(state.s3), "--no-hosts"),
            *("--volume", f"{volume}:{_DATA}", "--volume", f"{store.s3}:{_KEYS}:ro"),
            *("--volume", f"{binary}:/usr/local/bin/{PROGRAM.name}:ro"),
            *("--env-file", str(store.s3 / "env")),
        )
        await podman.make(state.name, container, rootfs.SERVICES.image, options, _command())
    found = await opened(state, store)
    await answers(f"{found.endpoint}/healthz", container, found.trust())
    return found


async def opened(state: State, store: Store) -> S3:
    """The server of a lab that has one. Raises LabError when it was never asked for."""
    if not (store.s3 / "env").exists():
        raise LabError(f"the lab {state.name} has no S3 server: `python -m e2e.lab s3` makes it")
    given = dict(line.split("=", 1) for line in (store.s3 / "env").read_text().splitlines())
    inspect = ("podman", "volume", "inspect", "--format", "{{.Mountpoint}}")
    root = (await run(*inspect, f"{state.name}-{NAME}")).strip()
    return S3(
        endpoint=endpoint(state),
        access_key=given["ROOT_ACCESS_KEY"],
        secret_key=given["ROOT_SECRET_KEY"],
        ca=(store.s3 / "ca.crt").read_text(),
        root=Path(root),
        keys=store.s3,
    )


def _command() -> tuple[str, ...]:
    return (
        *(PROGRAM.name, "--port", f":{_PORT}", "--region", REGION, "--health", "/healthz"),
        *("--cert", f"{_KEYS}/tls.crt", "--key", f"{_KEYS}/tls.key", "--quiet", "posix", _DATA),
    )


def _ensure_keys(state: State, folder: Path) -> None:
    """Choose the access keys and make CA and certificate, unless they are there."""
    if (folder / "env").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = trustme.CA(organization_name=f"lab {state.name}", key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    _write(folder / "ca.key", authority.private_key_pem.bytes())
    issued = authority.issue_cert(str(state.s3))
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    (folder / "tls.crt").write_bytes(chain)
    _write(folder / "tls.key", issued.private_key_pem.bytes())
    keys = {
        "ROOT_ACCESS_KEY": f"lab{secrets.token_hex(8)}",
        "ROOT_SECRET_KEY": secrets.token_urlsafe(30),
    }
    # Last, whole: what is there tells that all of it is.
    draft = folder / "env.new"
    _write(draft, "".join(f"{name}={value}\n" for name, value in keys.items()).encode())
    draft.rename(folder / "env")


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def _authority(folder: Path) -> trustme.CA:
    return trustme.CA.from_pem((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
