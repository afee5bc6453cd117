"""How long builds took on this machine, kept in the cache: what people are told before the next one."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from e2e.lab.machine.cache import Cache

_KNOWN = TypeAdapter(dict[str, float])


class Durations:
    """Seconds by name of a build; what cannot be read is not known."""

    def __init__(self, cache: Cache) -> None:
        self._file = cache.root / "durations.json"

    def known(self) -> dict[str, float]:
        try:
            return _KNOWN.validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return {}

    def note(self, name: str, seconds: float) -> None:
        """Two that note something at the same moment may lose one of both; nobody is harmed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_name(f".{self._file.name}.new")
        draft.write_bytes(_KNOWN.dump_json({**self.known(), name: round(seconds, 1)}, indent=2))
        draft.rename(self._file)
