"""`kok fleet`: how FleetUpgrades stand, Cluster by Cluster, and what came of them as Markdown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from kok.api.cluster.fleetstatus import FleetRow
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.meta import Condition
from kok.api.printable import plain
from kok.cli.options import KubectlOptions
from kok.cli.query import connected, named, namespace_of
from kok.cli.table import age, cell, empty
from kok.kube.errors import NotFound

FLEET = FleetUpgrade.info.kind
ORDER = ("Failed", "Upgrading", "Waiting", "Skipped", "Done")
"""What people look for first."""
WELL = frozenset({"Completed", "DryRun"})
"""Results of one that is Ready at its end."""
_COLOURS = {"Failed": "red", "Upgrading": "yellow", "Done": "green"}


async def one(name: str, namespace: str | None, options: KubectlOptions) -> FleetUpgrade:
    """A FleetUpgrade. Raises `NotFound` with a sentence, and `Unreadable`."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        return FleetUpgrade.parse(await named(kube, FLEET, name, where))


async def several(
    namespace: str | None, options: KubectlOptions, *, everywhere: bool
) -> Sequence[FleetUpgrade]:
    """All FleetUpgrades of a namespace, or of all of them."""
    async with await connected(options) as kube:
        found = await kube.list(FLEET, None if everywhere else namespace_of(kube, namespace))
    return [FleetUpgrade.parse(manifest) for manifest in found]


async def changes(
    name: str | None, namespace: str | None, options: KubectlOptions, *, everywhere: bool
) -> AsyncIterator[FleetUpgrade]:
    """FleetUpgrades as they are and whenever one changes; of one by name until it has ended.

    Raises `NotFound` with a sentence if that one is not there, or goes.
    """
    async with await connected(options) as kube:
        fields = {"metadata.name": name} if name is not None else None
        where = None if everywhere else namespace_of(kube, namespace)
        if name is not None and where is not None:
            await named(kube, FLEET, name, where)
        async with aclosing(kube.watch(FLEET, where, fields=fields)) as events:
            async for event in events:
                if name is not None and where is not None and event.type == "DELETED":
                    text = f"FleetUpgrade {name} was deleted; what it raised stays raised"
                    raise NotFound(404, "NotFound", text)
                if event.type not in {"ADDED", "MODIFIED"}:
                    continue
                fleet = FleetUpgrade.parse(event.object)
                yield fleet
                if name is not None and fleet.status.ended_at is not None:
                    return


# --- tables


def overview(fleets: Iterable[FleetUpgrade], now: datetime) -> Table:
    """A line for each FleetUpgrade."""
    headings = ("NAMESPACE", "NAME", "TARGET", "PHASE", "WAVE", "DONE", "FAILED", "SKIPPED", "AGE")
    out = empty(*headings, "WHY")
    for fleet in fleets:
        status, born = fleet.status, fleet.metadata.creation_timestamp or now
        told = (
            fleet.namespace,
            fleet.name,
            status.target or "",
            status.phase or "",
            status.wave or "",
            status.summary or "",
            str(status.counts.failed),
            str(status.counts.skipped),
            age((now - born).total_seconds()),
            _said(fleet),
        )
        out.add_row(*map(cell, told))
    return out


def clusters(fleet: FleetUpgrade, now: datetime) -> Table:
    """A line for each Cluster of a FleetUpgrade."""
    out = empty("CLUSTER", "WAVE", "FROM", "TO", "STATE", "SINCE", "WHY")
    for key, row in in_order(fleet.status.table()):
        state = cell(row.state)
        state.stylize(_COLOURS.get(row.state, ""))
        since = age((now - row.since).total_seconds()) if row.since is not None else ""
        why = ": ".join(part for part in (row.reason, row.why) if part)
        told: list[Text] = [cell(text) for text in (key, row.wave, row.from_, row.to)]
        out.add_row(*told, state, cell(since), cell(why))
    return out


def in_order(rows: dict[str, FleetRow]) -> list[tuple[str, FleetRow]]:
    """Those that need somebody first."""
    return sorted(rows.items(), key=lambda item: (ORDER.index(item[1].state), item[0]))


def headline(fleet: FleetUpgrade) -> str:
    """How a FleetUpgrade stands, on a line."""
    status = fleet.status
    told = (
        f"{fleet.namespace}/{fleet.name}: {status.phase or 'new'}, {status.summary or '0/0'} done"
    )
    return plain(f"{told}; {_said(fleet)}".replace("\n", " "))


def _said(fleet: FleetUpgrade) -> str:
    ready: Condition | None = fleet.status.condition("Ready")
    return ready.message or ready.reason if ready is not None else ""


class Follower:
    """Tells what changes, a line each: of one FleetUpgrade its Clusters as well."""

    def __init__(self, in_detail: bool, echo: Callable[[str], None]) -> None:
        self.failed = False
        """Whether the last one that was told of has ended, and not well."""
        self._in_detail = in_detail
        self._echo = echo
        self._lines: dict[tuple[str, str], str] = {}
        self._rows: dict[str, FleetRow] = {}

    async def follow(self, found: AsyncIterator[FleetUpgrade]) -> None:
        """Until there are no more."""
        async for fleet in found:
            self.tell(fleet)

    def tell(self, fleet: FleetUpgrade) -> None:
        """What is new of one."""
        key, line = (fleet.namespace, fleet.name), headline(fleet)
        report = fleet.status.report
        self.failed = report is not None and report.result not in WELL
        if self._in_detail:
            rows = fleet.status.table()
            for name, row in in_order(rows):
                if self._rows.get(name) != row and (self._rows or row.state != "Waiting"):
                    self._echo(_row(name, row))
            self._rows = rows
        if self._lines.get(key) != line:
            self._lines[key] = line
            self._echo(line)


def _row(name: str, row: FleetRow) -> str:
    why = ": ".join(part for part in (row.reason, row.why) if part)
    told = f"  {name}: {row.from_} -> {row.to or '?'} {row.state}{f', {why}' if why else ''}"
    return plain(told.replace("\n", " "))


# --- the report


def markdown(fleet: FleetUpgrade) -> str:
    """All that is known of a FleetUpgrade, as Markdown."""
    return "\n".join([*_summary(fleet), *_waves(fleet), *_table(fleet)]) + "\n"


def _summary(fleet: FleetUpgrade) -> Iterable[str]:
    status, counts = fleet.status, fleet.status.counts
    yield f"# FleetUpgrade {fleet.namespace}/{fleet.name}"
    yield ""
    result = status.report.result if status.report is not None else status.phase or "new"
    yield f"- Target: {_plain(status.target or '')}"
    yield f"- Result: {_plain(result)}: {_plain(_said(fleet))}"
    if status.started_at is not None:
        end = f", ended {_clock(status.ended_at)}" if status.ended_at is not None else ""
        yield f"- Began {_clock(status.started_at)}{end}"
    yield (
        f"- Clusters: {counts.total}, of these {counts.done} done, {counts.failed} failed, "
        f"{counts.skipped} skipped, {counts.upgrading} under way, {counts.waiting} waiting"
    )
    if (took := status.took) is not None and took.count:
        yield (
            f"- From being raised until it was through a Cluster took {took.total / took.count:.0f} s "
            f"on the average, at most {took.longest:.0f} s ({_plain(took.slowest)})"
        )
    if status.late:
        yield f"- {status.late} Clusters came after the plan was made, and were left alone"
    if status.beyond:
        yield f"- {status.beyond} Clusters did not fit into this FleetUpgrade"
    yield ""


def _waves(fleet: FleetUpgrade) -> Iterable[str]:
    if not fleet.status.waves:
        return
    yield from _heading("Wave", "Clusters", "Approved", "Begun", "Done", "Soaked")
    for wave in fleet.status.waves:
        times = (wave.approved, wave.begun, wave.done, wave.soaked)
        yield _line(wave.name, str(wave.clusters), *map(_clock, times))
    yield ""


def _table(fleet: FleetUpgrade) -> Iterable[str]:
    rows = in_order(fleet.status.table())
    if not rows:
        return
    yield from _heading("Cluster", "Wave", "From", "To", "State", "Since", "Why")
    for key, row in rows:
        why = ": ".join(part for part in (row.reason, row.why) if part)
        yield _line(key, row.wave, row.from_, row.to, row.state, _clock(row.since), why)


def _heading(*titles: str) -> Iterable[str]:
    yield _line(*titles)
    yield "|" + " --- |" * len(titles)


def _line(*cells: str) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    """On one line and without what would end a cell, whoever wrote it."""
    return plain(text.replace("\n", " ")).replace("|", "\\|")


def _clock(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""
