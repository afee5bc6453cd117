"""Version numbers as Kubernetes and etcd use them: three numbers, nothing more."""

from __future__ import annotations

import re
from typing import NamedTuple

from kok.versions.errors import UnknownVersion

_FORM = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)


class Minor(NamedTuple):
    """A minor release line such as 1.37. Orders as numbers do: 1.9 before 1.10."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class Version(NamedTuple):
    """A release such as 1.37.1. Orders as numbers do: 3.6.9 before 3.6.10."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def line(self) -> Minor:
        """The minor release line that this release belongs to."""
        return Minor(self.major, self.minor)


def parse(text: str, example: str = "1.37.1") -> Version:
    """The version that `text` writes.

    Raises `UnknownVersion`, naming `example` as the form to use, for anything but three numbers:
    a leading `v`, a missing patch level and pre-releases are refused.
    """
    if found := _FORM.fullmatch(text):
        return Version(*(int(part) for part in found.groups()))
    hint = text[1:] if _FORM.fullmatch(text[1:]) and text[0] in "vV" else None
    if hint:
        raise UnknownVersion(f"{text} is not a version; write {hint}")
    raise UnknownVersion(f"{text!r} is not a version; write three numbers such as {example}")


def parse_minor(text: str) -> Minor:
    """The release line that `text` ("1.37") writes. Raises `UnknownVersion`."""
    version = parse(f"{text}.0")
    return version.line


def parsed(text: str) -> Version | None:
    """The version as numbers; None for what is no version, such as a label that somebody wrote."""
    try:
        return parse(text)
    except UnknownVersion:
        return None


def is_above(version: str, other: str) -> bool:
    """Whether a version is later than another; False for what is no version."""
    one, two = parsed(version), parsed(other)
    return one is not None and two is not None and one > two
