"""An Addon of a chart that is named on the command line. Pure but for the file of a CA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kok import pki
from kok.addons import NAMES
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.cli.addons.values import merged
from kok.cli.addons.world import ADDON
from kok.cli.query import Refused
from kok.versions.ranges import parse_range

HOW: Final = "write oci://registry.example/charts/NAME or https://charts.example/stable/NAME"
LARGEST: Final = 65536
"""Bytes that a file of CAs may have."""
_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Chart:
    """What the command line says of a chart."""

    url: str
    """Repository and name, as one."""
    version: str | None
    """A version, or a range."""
    name: str | None = None
    """Of the Addon; that of the chart if it is not said."""
    into: str | None = None
    """Namespace inside the cluster for what names none."""
    secret: str | None = None
    """Secret beside the Addon with credentials for the repository."""
    ca: str | None = None
    """File with the CA of the repository's certificate, if it is none of the usual ones."""


def addon_of(cluster: Cluster, chart: Chart, values: Mapping[str, Any]) -> Manifest:
    """The Addon that installs it there. Raises `Refused` with what to write instead."""
    repository, called = _placed(chart.url)
    name = chart.name if chart.name is not None else called
    _check_name(cluster, name, given=chart.name is not None)
    helm: dict[str, Any] = {
        "repository": repository,
        "chart": called,
        "version": _version(chart.version),
    }
    if chart.into is not None:
        helm |= {"namespace": chart.into, "createNamespace": chart.into != "default"}
    if chart.secret is not None:
        helm["secret"] = chart.secret
    if chart.ca is not None:
        helm["ca"] = _pem(chart.ca)
    spec: dict[str, Any] = {"cluster": cluster.name, "source": {"helm": helm}}
    if made := merged({}, values):
        spec["values"] = made
    return {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": spec,
    }


def _placed(url: str) -> tuple[str, str]:
    """Repository and name of a chart."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in {"https", "oci"}:
        raise Refused(f"--chart {url}: {HOW}; charts are fetched over TLS, by the operator")
    if "@" in rest:
        raise Refused(
            "--chart has credentials in it; put them into a Secret with username and password, and "
            "name that by --secret"
        )
    place, _, called = rest.rstrip("/").rpartition("/")
    if not place:
        raise Refused(f"--chart {url}: the name of the chart is missing; {HOW}")
    if called.endswith((".tgz", ".tar.gz")):
        raise Refused(f"--chart {url} is an archive; name the repository that has it: {HOW}")
    if ":" in called:
        raise Refused(f"--chart {url}: leave the tag out, and write it as --version")
    return f"{scheme}://{place}", called


def _version(version: str | None) -> str:
    if version is None:
        raise Refused(
            "say which version of the chart, by --version; of a range such as ^1.2 the latest is taken "
            "once"
        )
    try:
        parse_range(version)
    except ValueError as error:
        raise Refused(f"--version: {error}") from None
    return version


def _pem(file: str) -> str:
    """The certificates of a file; whatever else is in it is nobody's business."""
    try:
        with Path(file).open("rb") as opened:
            read = opened.read(LARGEST + 1)
        if len(read) > LARGEST:
            raise Refused(
                f"--ca {file} is larger than {LARGEST >> 10} KiB; leave out what is not needed"
            )
        found = pki.split(read)
    except OSError as error:
        raise Refused(f"--ca {file} cannot be read: {error.strerror}") from None
    except pki.PkiError as error:
        raise Refused(f"--ca {file}: {error}; name a file with a CA's certificate as PEM") from None
    return b"".join(found).decode()


def _check_name(cluster: Cluster, name: str, *, given: bool) -> None:
    if not _NAME.fullmatch(name):
        say = "write another one" if given else "say how the Addon is to be called, by --name"
        raise Refused(f"{name} is no name of an Addon (lower-case letters, digits, dashes); {say}")
    if name in NAMES or name in {names.cluster_addon(cluster.name, one) for one in NAMES}:
        raise Refused(
            f"{name} is the name of a built-in addon; give the Addon of this chart another one, by "
            "--name"
        )
