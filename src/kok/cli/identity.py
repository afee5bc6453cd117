"""As whom a command talks to the meta cluster: as kubectl would, with the same files and options.

Kubeconfigs name files and programs to run. Those of whoever calls the command are his own; nothing
that comes from a cluster is ever read this way.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kok.cli.options import UNSAID, KubectlOptions
from kok.kube.http.access import Access, AccessError, in_cluster

if TYPE_CHECKING:
    from kubernetes.config.kube_config import KubeConfigLoader

DEFAULT = "~/.kube/config"


def from_environment(
    options: KubectlOptions = UNSAID, environ: Mapping[str, str] = os.environ
) -> Access:
    """The kubeconfig that is named, else those of `$KUBECONFIG`, the pod's account, the default.

    May run the login plug-in of a kubeconfig. Raises `AccessError`.
    """
    if options.groups and not options.user:
        raise AccessError("--as-group needs --as: groups alone are nobody")
    access = None
    if not (options.kubeconfig or options.context):
        access = in_cluster(environ)
    if access is None:
        files = options.kubeconfig or environ.get("KUBECONFIG") or DEFAULT
        access = from_files(files, options.context)
    return acting_as(access, options)


def acting_as(access: Access, options: KubectlOptions) -> Access:
    """The same identity in the role of another one."""
    if not options.user:
        return access
    groups = (("Impersonate-Group", group) for group in options.groups)
    headers = (*access.headers, ("Impersonate-User", options.user), *groups)
    return replace(access, headers=headers)


def from_files(files: str, context: str | None = None) -> Access:
    """A context of one or more kubeconfigs, separated and merged as in `$KUBECONFIG`."""
    paths = [Path(name).expanduser() for name in files.split(os.pathsep) if name]
    if not any(path.is_file() for path in paths):
        named = ", ".join(map(str, paths)) or "the file"
        raise AccessError(
            f"no API server is known: {named} does not exist; set KUBECONFIG or write --kubeconfig"
        )
    # Imported only here: an operator in its pod has no use for it.
    import yaml  # noqa: PLC0415
    from kubernetes.config import ConfigException  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="kok-", dir=_memory()) as folder, _heard() as said:
        try:
            return _Login(_loader(files, context, folder)).access(said)
        except ConfigException as error:
            raise AccessError(f"the kubeconfig cannot be used: {error}") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            # The parser's message quotes the text, which holds keys.
            raise AccessError(f"{files}: not YAML") from None
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            what = f"{error}" if isinstance(error, OSError) else "it is not as kubectl writes it"
            raise AccessError(f"the kubeconfig cannot be used: {what}") from None


def _loader(files: str, context: str | None, folder: str) -> KubeConfigLoader:
    from kubernetes.config import kube_config  # noqa: PLC0415

    merged = kube_config.KubeConfigMerger(files)
    # As for kubectl, the first file that names a current context decides; here the last one would.
    named = (merged.config_files[path].get("current-context") for path in merged.paths)
    return kube_config.KubeConfigLoader(
        merged.config,
        active_context=context or next(filter(None, named), None),
        config_base_path=None,
        config_persister=merged.save_changes,
        temp_file_path=folder,
    )


class _Login:
    """One context of a kubeconfig, logged in as often as it is needed."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        from kubernetes.client import Configuration  # noqa: PLC0415

        self._loader = loader
        self._found: Any = Configuration()
        # Not its defaults: localhost, and what the environment names as proxy.
        self._found.host, self._found.proxy = "", None

    def access(self, said: list[str]) -> Access:
        """Logs in. `said` is what the loader complained of."""
        self._loader.load_and_set(self._found)
        found, context = self._found, self._loader.current_context["context"]
        if not found.host:
            raise AccessError(f"cluster {context['cluster']!r} of the kubeconfig has no server")
        authorization = found.api_key.get("BearerToken", "")
        if said and not (authorization or found.cert_file):
            user = context.get("user")
            raise AccessError(f"user {user!r} of the kubeconfig cannot log in: {'; '.join(said)}")
        bearer = authorization.startswith("Bearer ")
        return Access(
            server=found.host.rstrip("/"),
            ca=_read(found.ssl_ca_cert),
            certificate=_read(found.cert_file),
            key=_read(found.key_file),
            renew=self._renewed if bearer else None,
            headers=() if bearer or not authorization else (("Authorization", authorization),),
            insecure=not found.verify_ssl,
            tls_server_name=found.tls_server_name,
            proxy=found.proxy,
            namespace=context.get("namespace"),
        )

    def _renewed(self, refused: bool) -> str | None:
        """The token, a new one if it has run out, or was `refused` although it has not."""
        with _heard():
            if refused:
                self._loader.load_and_set(self._found)
            elif self._found.refresh_api_key_hook is not None:
                self._found.refresh_api_key_hook(self._found)
        token = str(self._found.api_key.get("BearerToken", ""))
        return token.removeprefix("Bearer ") or None


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged meanwhile: the loader logs the failure of a plug-in and goes on without."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear, root = Ear(logging.ERROR), logging.getLogger()
    root.addHandler(ear)
    try:
        yield said
    finally:
        root.removeHandler(ear)


def _memory() -> str | None:
    """Where the loader's files for certificates and keys never reach a disk, if there is such."""
    shm = Path("/dev/shm")  # noqa: S108 - memory
    return str(shm) if shm.is_dir() and os.access(shm, os.W_OK) else None


def _read(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None
