"""Where the worker finds things; all is below one root, `/` but for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kok.backup import report, spec
from kok.backup.stores.directory import DirectoryStore
from kok.backup.stores.store import Store

ROOT_VARIABLE = "KOK_ETCD_WORKER_ROOT"
"""Names another root."""


@dataclass(frozen=True, slots=True)
class WorkerPaths:
    """The paths of `spec` below a root."""

    root: Path
    closed: tuple[str, ...] = ()
    """Address ranges that no store may lie in."""

    @classmethod
    def from_environment(cls) -> WorkerPaths:
        """As the container has them, unless `ROOT_VARIABLE` is set."""
        closed = os.environ.get(spec.CLOSED_VARIABLE, "")
        return cls(Path(os.environ.get(ROOT_VARIABLE, "/")), tuple(filter(None, closed.split(","))))

    def below(self, path: PurePosixPath | str) -> Path:
        """An absolute path below the root."""
        return self.root / str(path).lstrip("/")

    @property
    def etcd_certificates(self) -> Path:
        """Folder of the certificate by which a member is asked: `tls.crt`, `tls.key`, `ca.crt`."""
        return self.below(spec.ETCD_CERTIFICATES)

    @property
    def encryption_keys(self) -> Path:
        """Folder of a user's keys, a file each; it is not there where nothing is encrypted."""
        return self.below(spec.ENCRYPTION_KEYS)

    @property
    def volume(self) -> Path:
        """The mounted volume to which `fetch` writes the snapshot."""
        return self.below(spec.VOLUME)

    @property
    def root_pass(self) -> Path:
        """Folder of the certificate of the user `root` of a proof's throw-away etcd."""
        return self.below(spec.ROOT_PASS)

    @property
    def termination_message(self) -> Path:
        """The file whose content Kubernetes puts into the pod's status: there the report goes."""
        return self.below(report.TERMINATION_MESSAGE)

    def store(self, given: spec.Store, limits: spec.Limits) -> Store:
        """The store that a spec means. Raises `WorkerError`; the caller closes it."""
        if isinstance(given, spec.DirectoryStore):
            return DirectoryStore(self.below(spec.DIRECTORY), given.prefix)
        # Imported only here: a volume needs no HTTP.
        from kok.backup.stores.s3.http import S3Http  # noqa: PLC0415
        from kok.backup.stores.s3.store import BucketStore, read_credentials  # noqa: PLC0415

        credentials = read_credentials(self.below(spec.S3_CREDENTIALS))
        ca = self.below(spec.S3_CA) if given.custom_ca else None
        return BucketStore(
            given, S3Http(given, credentials, ca, stall=limits.stall, closed=self.closed)
        )
