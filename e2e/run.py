"""`python -m e2e.run SCENARIO`: runs one scenario, or all whose names match a pattern."""

from __future__ import annotations

import fnmatch
import importlib
import sys
from pathlib import Path

from e2e import scenarios
from e2e.framework.alone import alone
from e2e.framework.report import Report, run_to_end


def modules() -> dict[str, str]:
    """The module of each scenario by its name, sorted.

    A scenario is called like its file, with `-` for `_`, in whatever folder of `e2e/scenarios` it
    lies. Raises ValueError where two files have one name.
    """
    top = Path(scenarios.__path__[0])
    found: dict[str, str] = {}
    for file in sorted(top.rglob("*.py"), key=lambda file: file.stem):
        if file.stem == "__init__":
            continue
        name = file.stem.replace("_", "-")
        path = file.relative_to(top).with_suffix("").parts
        if name in found:
            raise ValueError(f"{found[name]} and {'.'.join(path)} are both called {name}")
        found[name] = ".".join((scenarios.__name__, *path))
    return found


async def run(name: str) -> None:
    """Runs one scenario; its figures are the last line that it prints."""
    module = importlib.import_module(modules()[name])
    report = Report()
    report.title(f"{name}: {(module.__doc__ or '').strip().splitlines()[0]}")
    async with alone(name, report):
        await module.run(report)
    report.last_line(name)


def main(argv: list[str]) -> int:
    """Exit code 0 if all went well, 1 if one failed, 2 if there is no such scenario."""
    pattern = argv[0] if argv else "first-cluster"
    chosen = fnmatch.filter(modules(), pattern)
    if not chosen:
        sys.stderr.write(f"no scenario matches {pattern}; there are {', '.join(modules())}\n")
        return 2
    for name in chosen:
        run_to_end(run(name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
