"""Whether a load was disturbed, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LEADER_GAP = 5.0
"""Seconds for which a leader may not renew its Lease; on top of that comes what the machine is late by, as
the slowest hundredth of all requests tells."""
LEAST_SHARE = 0.7
"""Of the requests that were due, so many have to have been sent: else nothing was proven. Where a machine
is busy, lanes with one request at a time leave some out."""
SHOWN = 5
BREAKS = 2
"""How often a stream may have to be begun anew: once for each of two servers that end."""
TORN = 8
"""Writes of a lap that may be torn: one for each of the load's four connections by which they can be, at
each of two servers that end. On a busy machine it is about as many, on a quiet one hardly any."""

Told = Mapping[str, Any]


def faults(told: Told, leader_gap: float = LEADER_GAP, *, rest: bool = False) -> list[str]:
    """What a lap tells that must not be; empty if nobody noticed anything.

    `rest`: it is what came after the last lap, which may be next to nothing.
    """
    return [
        *_requests(told, rest=rest),
        *_watches(told["watches"]),
        *_leaders(told["leaders"], leader_gap + told["p99_ms"] / 1000),
        *_streams(told["streams"]),
    ]


def undisturbed(told: Told, leader_gap: float = LEADER_GAP, *, rest: bool = False) -> None:
    """Raises `AssertionError` with everything that was noticed; `rest` as for `faults`."""
    if found := faults(told, leader_gap, rest=rest):
        raise AssertionError("; ".join(found))


def line(told: Told) -> str:
    """A lap in a line for people."""
    watches = told["watches"]
    parts = [
        f"{told['done']} requests in {told['seconds']} s, {told['failed']} failed",
        f"{told['waited']} told to come again, {told['races']} kept connections renewed, "
        f"{told['torn']} torn under a write by HTTP/1.1",
        f"p50 {told['p50_ms']} ms, p99 {told['p99_ms']} ms, max {told['max_ms']} ms",
        f"{watches['count']} watches: {watches['ended'] + watches['broken']} ends, "
        f"{watches['relisted']} not resumed, {watches['lost'] + watches['behind']} events lost",
    ]
    parts += [f"{n} without renewal {v['longest_s']} s" for n, v in told["leaders"].items()]
    parts += [
        f"{n}: {v['breaks']} breaks, {v['silence_s']} s silent" for n, v in told["streams"].items()
    ]
    return "; ".join(parts)


def _requests(told: Told, *, rest: bool) -> Iterator[str]:
    due = told["done"] + told["failed"] + told["torn"] + told["skipped"]
    if told["failed"]:
        shown = "; ".join(
            f"{one['at']} s {one['kind']}: {one['text']}" for one in told["failures"][:SHOWN]
        )
        yield f"{told['failed']} of {due} requests failed: {shown}"
    if told["torn"] > TORN:
        yield f"{told['torn']} writes of {due} requests were sent by HTTP/1.1 connections that ended"
    few = not told["done"] or told["skipped"] > (1 - LEAST_SHARE) * due
    if few and not rest:
        yield (
            f"of {due} requests that were due {told['skipped']} were not sent and {told['done']} went "
            "well: too few to prove anything"
        )


def _watches(told: Told) -> Iterator[str]:
    wrong = {name: told[name] for name in ("lost", "doubled", "behind", "relisted") if told[name]}
    if wrong:
        named = f" ({', '.join(told['named'])})" if told["named"] else ""
        yield f"watches: {wrong}{named}"
    if told["count"] and not told["seen"]:
        yield "no watch saw anything, so that nothing is proven"


def _leaders(told: Told, most: float) -> Iterator[str]:
    for name, leader in told.items():
        if leader["longest_s"] > most:
            yield f"{name} did not renew its Lease for {leader['longest_s']} s"
        if not leader["holders"]:
            yield f"{name} never had a leader, so that nothing is proven"


def _streams(told: Told) -> Iterator[str]:
    for name, stream in told.items():
        if stream["breaks"] > BREAKS:
            yield f"{name} broke {stream['breaks']} times, and was silent for {stream['silence_s']} s"
