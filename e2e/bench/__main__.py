"""`python -m e2e.bench [name]`: runs one suite, or all, and renews `docs/benchmarks.md`."""

from __future__ import annotations

import asyncio
import sys

from e2e.bench import clusters, page
from e2e.bench.figure import Figure
from e2e.bench.suites import SUITES
from e2e.report import Report
from e2e.world import World, world


async def bench(names: list[str]) -> list[Figure]:
    """Runs the suites one after the other in one lab."""
    every: list[Figure] = []
    report = Report()
    async with world(report, meta=1, workers=2) as w:
        await w.namespace(clusters.NAMESPACE)
        try:
            for name in names:
                report.title(f"{name}: {(SUITES[name].__doc__ or '').strip()}")
                found = [f async for f in SUITES[name](w)]
                page.write(name, page.section(name, found, await _versions(w)))
                every += found
        finally:
            await w.drop_namespace(clusters.NAMESPACE, within=240.0)
    return every


async def _versions(w: World) -> dict[str, str]:
    meta = await w.kube.raw("GET", "/version")
    return {"meta cluster": meta["gitVersion"], "business clusters": "v1.37.1"}


def main(argv: list[str]) -> int:
    """Exit code 0 when all was measured, whatever the verdicts; 2 for an unknown name."""
    names = argv or list(SUITES)
    unknown = [n for n in names if n not in SUITES]
    if unknown:
        sys.stderr.write(f"no benchmark {unknown[0]}; there are {', '.join(SUITES)}\n")
        return 2
    figures = asyncio.run(bench(names))
    for found in figures:
        sys.stdout.write(f"{found.line()}\n")
    sys.stdout.write(f"{page.as_json(figures)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
