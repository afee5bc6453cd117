"""Ranges of versions as Helm and npm write them, for charts and for Kubernetes. Pure.

    1.4.0, =1.4.0   this one
    1.4, 1.x, *     any that begins so
    >=1.34 <1.37    both; a comma stands for the blank as well
    ^1.2            1.2.0 and later of 1 (of 0.2: of 0.2)
    ~1.4            1.4.0 and later of 1.4
    1.x || >=3      one of them

Pre-releases belong to a range only where it names one of the same three numbers, as Helm has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Final

_VERSION: Final = re.compile(
    r"v?(0|[1-9][0-9]{0,17})(?:\.(0|[1-9][0-9]{0,17}))?(?:\.(0|[1-9][0-9]{0,17}))?"
    r"(?:-([0-9A-Za-z.-]{1,200}))?(?:\+[0-9A-Za-z.-]{1,200})?",
    re.ASCII,
)
_TERM: Final = re.compile(
    r"(>=|<=|!=|=|>|<|~|\^)? {0,8}v?([0-9xX*]{1,18})(?:\.([0-9xX*]{1,18}))?(?:\.([0-9xX*]{1,18}))?"
    r"(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?",
    re.ASCII,
)
_LONGEST: Final = 256


@total_ordering
@dataclass(frozen=True, slots=True)
class SemVer:
    """A version in the sense of semver.org; what stands behind `+` makes none another."""

    numbers: tuple[int, int, int]
    pre: str = ""
    text: str = field(default="", compare=False)

    def __lt__(self, other: SemVer) -> bool:
        """Whether it is an earlier one."""
        return self._order() < other._order()

    def _order(self) -> tuple[object, ...]:
        words = self.pre.split(".") if self.pre else []
        # Numbers come before words, and a release after what led to it.
        ranked = tuple((0, int(w), "") if w.isdecimal() else (1, 0, w) for w in words)
        return self.numbers, not words, ranked


def semver(text: str) -> SemVer | None:
    """A version; missing numbers are 0. None for what is none."""
    found = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    return SemVer((int(major), int(minor or 0), int(patch or 0)), pre or "", text)


@dataclass(frozen=True, slots=True)
class _Between:
    """From one version on, up to but without another."""

    least: SemVer | None
    below: SemVer | None
    inverted: bool = False
    """All others."""

    def holds(self, version: SemVer) -> bool:
        above = self.least is None or version >= self.least
        return (above and (self.below is None or version < self.below)) != self.inverted


@dataclass(frozen=True, slots=True)
class Range:
    """Which versions are meant."""

    text: str
    _choices: tuple[tuple[_Between, ...], ...]
    _pre: frozenset[tuple[int, int, int]]
    """Releases of which pre-releases are meant, too."""

    def holds(self, version: SemVer) -> bool:
        """Whether a version is one of those."""
        if version.pre and version.numbers not in self._pre:
            return False
        return any(all(term.holds(version) for term in terms) for terms in self._choices)

    def latest(self, versions: Iterable[str]) -> str | None:
        """The latest of some texts that is meant; what is no version is passed over."""
        known = [found for one in versions if (found := semver(one)) is not None]
        meant = [one for one in known if self.holds(one)]
        return max(meant).text if meant else None

    @property
    def exact(self) -> bool:
        """Whether it can be no more than one version."""
        found = semver(self.text.strip().removeprefix("=").strip())
        return found is not None and found.text.removeprefix("v").count(".") >= 2


def parse_range(text: str) -> Range:
    """The range that a text writes. Raises `ValueError` with a sentence."""
    choices: list[tuple[_Between, ...]] = []
    pre: set[tuple[int, int, int]] = set()
    for choice in text[:_LONGEST].split("||"):
        found = _TERM.match(left := choice.strip(" ,"))
        terms = []
        while found is not None:
            operator, *numbers, word = found.groups()
            terms.append(_term(operator or "=", numbers, word or ""))
            if word:
                pre.add(_filled(_given(numbers)))
            left = left[found.end() :].lstrip(" ,")
            found = _TERM.match(left)
        if left or not terms:
            raise ValueError(f"{text!r} is no range of versions; write one such as >=1.34 <1.37")
        choices.append(tuple(terms))
    return Range(text, tuple(choices), frozenset(pre))


def is_meant(wanted: str, version: str) -> bool:
    """Whether a range as somebody wrote it holds a version; what is no version is not refused.

    Raises `ValueError` with a sentence for what is no range.
    """
    meant, found = parse_range(wanted), semver(version)
    return found is None or meant.holds(found)


def _given(numbers: Iterable[str | None]) -> list[int]:
    """The numbers up to the first that may be any."""
    known: list[int] = []
    for one in numbers:
        if one is None or not one.isdecimal():
            break
        known.append(int(one))
    return known


def _filled(known: list[int]) -> tuple[int, int, int]:
    major, minor, patch = (*known, 0, 0, 0)[:3]
    return major, minor, patch


def _next(known: list[int]) -> SemVer | None:
    """The first that does not begin with these numbers; none where there is no such."""
    return SemVer(_filled([*known[:-1], known[-1] + 1]), "0") if known else None


def _term(operator: str, numbers: list[str | None], pre: str) -> _Between:
    known = _given(numbers)
    first, after = SemVer(_filled(known), pre), _next(known)
    if len(known) == 3:
        # The first after it: of a pre-release another one, with what sorts right behind it.
        after = SemVer(first.numbers, f"{pre}.0") if pre else _next(known)
    begins = None if pre else SemVer(first.numbers, "0")
    bounds: dict[str, tuple[SemVer | None, SemVer | None]] = {
        ">=": (first, None),
        "<": (None, begins or first),
        "<=": (None, after),
        ">": (after, None),
        "~": (first, _next(known[:2])),
        "^": (first, _next(_leading(known))),
    }
    least, below = bounds.get(operator, (first, after))
    # Nothing is greater than any version.
    nothing = operator == ">" and after is None
    return _Between(least, below, inverted=nothing or operator == "!=")


def _leading(known: list[int]) -> list[int]:
    """The numbers that stay where nothing that worked may break: up to the first that is not 0."""
    for at, number in enumerate(known):
        if number:
            return known[: at + 1]
    return known
