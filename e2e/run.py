"""`python -m e2e.run SCENARIO`: runs one scenario, or all whose names match a pattern."""

from __future__ import annotations

import fnmatch
import importlib
import pkgutil
import sys

from e2e import scenarios
from e2e.report import Report, run_to_end


def names() -> list[str]:
    """All scenarios; a scenario's module is called like it, with underscores."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(scenarios.__path__))


async def run(name: str) -> None:
    """Runs one scenario; its figures are the last line that it prints."""
    module = importlib.import_module(f"e2e.scenarios.{name.replace('-', '_')}")
    report = Report()
    report.title(f"{name}: {(module.__doc__ or '').strip().splitlines()[0]}")
    await module.run(report)
    report.last_line(name)


def main(argv: list[str]) -> int:
    """Exit code 0 if all went well, 1 if one failed, 2 if there is no such scenario."""
    pattern = argv[0] if argv else "first-cluster"
    chosen = fnmatch.filter(names(), pattern)
    if not chosen:
        sys.stderr.write(f"no scenario matches {pattern}; there are {', '.join(names())}\n")
        return 2
    for name in chosen:
        run_to_end(run(name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
