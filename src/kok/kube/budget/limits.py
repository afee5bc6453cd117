"""How much an API server may make us read, parse and keep. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof
from typing import Final

from kok.kube.decoding.brackets import blanked, containers

MIB: Final = 2**20
_MANY: Final = 20_000
"""Values of which no exact count is needed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken from one API server at most; beyond it `TooLarge` is raised."""

    answer: int
    """Bytes of one answer with several objects."""
    alone: int
    """Bytes of any other."""
    weight: int
    """Bytes of memory that the first may take when parsed, as `weight` estimates it."""
    line: int
    """Bytes of one line of a watch."""
    listed: int
    """The same for what is handed over of a list of one namespace."""
    everywhere: int
    """The same for a list over all namespaces, or of a kind that has none."""
    together: int | None
    """The same for all such lists of one server that are not complete yet; None for no limit: of
    one that is trusted, nobody's lists may be in the way of another's."""
    items: int
    """Objects of one list, and of one watch that are known at a time."""
    known: int
    """Bytes of the names and labels of these."""
    reading: int | None
    """Bytes of all answers that are being read, see `kok.kube.budget.in_flight`; None for no limit."""
    seconds: float
    """For all pages of one list."""
    page: int
    """Objects that are asked for at once."""
    rate: float | None = None
    """Bytes a second that all watches read, beyond a burst, see `kok.kube.budget.read_rate`; None for no
    limit."""
    chunk: int = 0
    """Bytes that the chunks of an answer have at least on the average; 0 for no limit. What comes
    byte by byte takes a hundred times as long to read."""
    accounts: bool = False
    """Whether its namespaces are those that have accounts, see `kok.kube.budget.cpu_shares`."""
    cuts: bool = False
    """Whether an object of too many values is cut, see `kok.kube.decoding.truncation`, and not only refused:
    so that its author can be told, and a list or watch goes on in spite of it."""

    def size(self, *, several: bool) -> int:
        """Bytes of one answer, with several objects or not."""
        return self.answer if several else self.alone

    def parsed(self, *, several: bool) -> int:
        """Bytes of memory that it may take when parsed."""
        return self.weight * self.size(several=several) // self.answer


META: Final = Limits(
    answer=8 * MIB,
    alone=16 * MIB,
    weight=32 * MIB,
    line=16 * MIB,
    listed=32 * MIB,
    everywhere=128 * MIB,
    together=None,
    items=100_000,
    known=64 * MIB,
    reading=48 * MIB,
    seconds=300.0,
    page=100,
    accounts=True,
    cuts=True,
)
"""Of the meta cluster: its API server is trusted, but everybody who may write in a namespace there
decides on how large objects are. A page that is too large is asked for again with fewer of them,
and of an object of too many values the largest fields are taken out.

One namespace's lists are many at a time, by as many passes as it has, and each of them is short: of
what belongs to one owner little is kept (`kok.kube.objects.ownership.children_of`), and 32 MiB are some
2,000 EtcdBackups. Lists over all namespaces are asked for by few, and their answers are shared.

etcd stores 1.5 MiB of one object. Of kinds that are stored as protobuf that may be six times as
much JSON, in which `<` is \\u003c. So one object alone is always read.
"""
TENANT: Final = Limits(
    answer=6 * MIB,
    alone=6 * MIB,
    weight=12 * MIB,
    line=2 * MIB,
    listed=24 * MIB,
    everywhere=24 * MIB,
    together=24 * MIB,
    items=10_000,
    known=3 * MIB,
    reading=4 * MIB,
    seconds=60.0,
    page=100,
    rate=MIB / 2,
    chunk=64,
)
"""Of a business cluster, whose admin may have put anything in the place of its API server.

An object has 1.5 MiB at most (a limit of etcd), a Node some 10 KiB; 5,000 Nodes are what Kubernetes
supports. Ten servers that all use up everything at once fit into the operators' memory limit.
"""


def _values(text: bytes) -> tuple[int, int]:
    """How many containers there are at most, and how many values with these."""
    many = containers(text)
    return many, text.count(b",") + text.count(b":") + many


def memory_of(value: object) -> int:
    """About how many bytes such a part of a parsed answer takes, as `weight` counts them."""
    total, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            total += 64 + 144 * len(one)
            total += sum(map(len, one))
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            total += 64 + 72 * len(one)
            left.extend(one)
        elif isinstance(one, str):
            total += getsizeof(one)
    return total


def weight(raw: bytes) -> int:
    """About how many bytes a JSON text takes as Python's objects, without parsing it.

    A text of empty objects grows thirtyfold, one of long strings hardly at all: what counts is how
    many values there are. Never less than what it really takes, for what servers can make up.
    """
    many, values = _values(raw)
    if values > _MANY:
        # What stands in a string is none, and one long text may be full of brackets.
        many, values = _values(blanked(raw))
    # One wide character in a string makes all of them wide. Go writes `<` as \u003c, which is none.
    wide = not raw.isascii() or raw.count(b"\\u") > raw.count(b"\\u00")
    return len(raw) * (4 if wide else 1) + 64 * many + 72 * values
