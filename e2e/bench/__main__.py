"""`python -m e2e.bench [name]`: runs one suite, or all, and renews `docs/benchmarks.md`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from e2e.bench import clusters, page
from e2e.bench.figure import Figure
from e2e.bench.suites import ALONE, GROUPS, SUITES, USUAL
from e2e.framework.alone import alone
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report, run_to_end


async def bench(names: list[str]) -> list[Figure]:
    """Runs the suites one after the other: first those that bring their own lab, then the rest."""
    report = Report()
    every: list[Figure] = []
    for name in (n for n in names if n in ALONE):
        report.title(f"{name}: {(ALONE[name].__doc__ or '').strip()}")
        every += _kept(name, [f async for f in _seen(report, ALONE[name]())], {})
    inside = [n for n in names if n in SUITES]
    return every + (await _in_a_lab(inside, report) if inside else [])


async def _in_a_lab(names: list[str], report: Report) -> list[Figure]:
    every: list[Figure] = []
    run = " ".join(("bench", *names))
    async with alone(run, report), environment(report, meta=1, workers=2) as w:
        await w.drop_namespace(clusters.NAMESPACE)
        await w.namespace(clusters.NAMESPACE)
        try:
            for name in names:
                report.title(f"{name}: {(SUITES[name].__doc__ or '').strip()}")
                found = [f async for f in _seen(w.report, SUITES[name](w))]
                every += _kept(name, found, await _versions(w))
        finally:
            await w.drop_namespace(clusters.NAMESPACE, within=240.0)
    return every


async def _seen(report: Report, figures: AsyncIterator[Figure]) -> AsyncIterator[Figure]:
    """Each of them said as soon as it is there."""
    async for found in figures:
        report.line(found.line())
        yield found


def _kept(suite: str, found: list[Figure], versions: dict[str, str]) -> list[Figure]:
    """Writes a suite's figures down as soon as they are there."""
    page.write(suite, page.table(found, versions))
    return found


async def _versions(w: Environment) -> dict[str, str]:
    meta = await w.kube.raw("GET", "/version")
    return {"meta cluster": meta["gitVersion"], "business clusters": "v1.37.1"}


def main(argv: list[str]) -> int:
    """Exit code 0 when all was measured, whatever the verdicts; 2 for an unknown name."""
    names = [part for name in argv or USUAL for part in GROUPS.get(name, (name,))]
    known = {**ALONE, **SUITES}
    unknown = [n for n in names if n not in known]
    if unknown:
        sys.stderr.write(f"no benchmark {unknown[0]}; there are {', '.join([*known, *GROUPS])}\n")
        return 2
    figures = run_to_end(bench(names))
    for found in figures:
        sys.stdout.write(f"{found.line()}\n")
    sys.stdout.write(f"{page.as_json(figures)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
