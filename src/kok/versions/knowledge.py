"""What is known of releases since this one of KOK was made: patch levels, ends of life, CVEs.

A document of its own, since it changes on the day on which a CVE is disclosed:

    format: 1
    issued: 2026-11-30T08:00:00Z
    kubernetes:
      "1.37": {patches: [1.37.0, 1.37.1], endOfLife: 2027-10-28}
    vulnerabilities:
      - id: CVE-2026-0001
        severity: Critical
        summary: one sentence
        fixed: {"1.36": 1.36.5, "1.37": 1.37.2}

A minor that `fixed` does not name is not concerned, unless `introduced` says that it is and no fix
came for it (`unfixed`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from kok.versions import releases
from kok.versions.errors import UnknownVersion
from kok.versions.models import AMinor, AVersion
from kok.versions.number import Minor, Version, parse

FORMAT = 1
SIZE_MOST = 512 * 1024
"""Bytes of a document; one with a thousand CVEs has less."""
SHOWN = 3
"""CVEs that a sentence names."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where there is one: in Python half a megabyte of small values keeps an operator from all else for
some eight seconds, longer than a Lease may wait on a busy machine."""
Severity = Literal["Low", "Medium", "High", "Critical"]
SEVERITIES: tuple[Severity, ...] = ("Critical", "High", "Medium", "Low")


class _Part(BaseModel):
    """Words that a later form of the document adds are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class KnownMinor(_Part):
    """One minor as its project publishes it."""

    patches: tuple[AVersion, ...] = Field(default=(), max_length=200)
    """All patch levels."""
    end_of_life: date | None = None
    """The day after which no more patch levels come."""


class Vulnerability(_Part):
    """One CVE."""

    id: str = Field(pattern=r"^CVE-\d{4}-\d{4,7}$")
    """Such as CVE-2026-0001."""
    severity: Severity = "High"
    """As the project rates it."""
    summary: str = Field(default="", max_length=500)
    """What it is, as a sentence."""
    fixed: dict[AMinor, AVersion] = Field(default_factory=dict, max_length=50)
    """The first patch level without it, by minor."""
    unfixed: tuple[AMinor, ...] = Field(default=(), max_length=50)
    """Minors that have it and get no fix any more."""

    @model_validator(mode="after")
    def _of_its_minor(self) -> Self:
        """A fix of another minor would take Clusters there, and there is no way back."""
        for minor, fix in self.fixed.items():
            if fix.line != minor:
                raise ValueError(f"{self.id}: {fix} is no version of {minor}")
            if minor in self.unfixed:
                raise ValueError(f"{self.id}: {minor} is both fixed and unfixed")
        return self

    def concerns(self, version: Version) -> bool:
        """Whether that version has it."""
        fix = self.fixed.get(version.line)
        return version.line in self.unfixed or (fix is not None and version < fix)


class Document(_Part):
    """The whole document."""

    format: Literal[1]
    issued: AwareDatetime
    kubernetes: dict[AMinor, KnownMinor] = Field(default_factory=dict, max_length=50)
    vulnerabilities: tuple[Vulnerability, ...] = Field(default=(), max_length=2000)


class KnowledgeError(Exception):
    """A document that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Releases:
    """What this release of KOK knows, and what a document added to that."""

    document: Document | None = None

    @classmethod
    def read(cls, text: bytes | str) -> Self:
        """Raises `KnowledgeError` for what is too large, no YAML, or no such document."""
        size = len(text)
        if size > SIZE_MOST:
            raise KnowledgeError(f"it has {size} bytes, more than {SIZE_MOST}")
        try:
            found = _load(text)
            return cls(Document.model_validate(found))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise KnowledgeError(f"{where or 'the document'}: {first['msg']}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            said = str(error).splitlines() or ["it cannot be read"]
            raise KnowledgeError(f"it is neither YAML nor JSON: {said[0][:200]}") from None
        except UnknownVersion as error:
            raise KnowledgeError(str(error)) from None

    def patches(self, minor: Minor) -> tuple[Version, ...]:
        """All patch levels that are known of a minor, ascending."""
        built = releases.data().kubernetes.get(str(minor))
        told = self.document.kubernetes.get(minor) if self.document is not None else None
        found = {*(built.patches if built else ()), *(told.patches if told else ())}
        return tuple(sorted(v for v in found if v.line == minor))

    def latest(self, minor: Minor) -> Version | None:
        """The newest patch level that is known of a minor."""
        return next(iter(reversed(self.patches(minor))), None)

    def end_of_life(self, minor: Minor) -> date | None:
        """The day after which the minor gets no more patch levels, if that is known."""
        told = self.document.kubernetes.get(minor) if self.document is not None else None
        return told.end_of_life if told is not None else None

    def vulnerabilities(self, version: Version) -> tuple[Vulnerability, ...]:
        """The CVEs that a version has, the worst first."""
        all_ = self.document.vulnerabilities if self.document is not None else ()
        found = [one for one in all_ if one.concerns(version)]
        return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.id)))

    def vulnerability(self, id_: str) -> Vulnerability | None:
        """A CVE by its ID."""
        all_ = self.document.vulnerabilities if self.document is not None else ()
        return next((one for one in all_ if one.id == id_), None)


def outdated(known: Releases, version: str, today: datetime) -> str | None:
    """Why a version is out of date, as a sentence: a later patch level, or the end of its minor."""
    number = _number(version)
    if number is None:
        return None
    latest, end = known.latest(number.line), known.end_of_life(number.line)
    parts = []
    if latest is not None and latest > number:
        parts.append(f"{latest} is out, {version} runs")
    if end is not None and today.astimezone(UTC).date() > end:
        parts.append(
            f"{number.line} gets no more patch levels since {end}: upgrade to a later minor"
        )
    return "; ".join(parts) or None


def vulnerable(known: Releases, version: str) -> str | None:
    """Which CVEs a version has and what fixes them, as a sentence; None if none is known."""
    number = _number(version)
    found = known.vulnerabilities(number) if number is not None else ()
    if number is None or not found:
        return None
    told = "; ".join(_told(one, number.line) for one in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{told}{more}"


def _told(one: Vulnerability, minor: Minor) -> str:
    fix = one.fixed.get(minor)
    how = (
        f"fixed in {fix}" if fix is not None else f"not fixed in {minor}, upgrade to a later minor"
    )
    summary = f" ({one.summary})" if one.summary else ""
    return f"{one.id}, {one.severity}{summary}: {how}"


def worst(found: Iterable[Vulnerability]) -> Severity | None:
    """The highest severity among them."""
    severities = {one.severity for one in found}
    return next((one for one in SEVERITIES if one in severities), None)


def _number(version: str) -> Version | None:
    try:
        return parse(version)
    except UnknownVersion:
        return None


def _load(text: bytes | str) -> Mapping[str, Any]:
    """YAML, of which JSON is a part; without anchors, by which a small text becomes a large one."""
    raw = text.decode("utf-8") if isinstance(text, bytes) else text
    if raw.lstrip().startswith("{"):
        found = json.loads(raw)
    else:
        for token in yaml.scan(raw, Loader=_LOADER):
            if isinstance(token, yaml.AliasToken):
                raise ValueError("it has an alias; write the value out")
        found = yaml.load(raw, Loader=_LOADER)  # noqa: S506 - it is the safe one
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    return found
