"""The GPUs of a host, as a survey tells of them, and what its Node is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kok.api.machine.machine import GPUFacts, Machine
from kok.runtime.redact import redact_text

SOFTWARE: Final = frozenset({"nvidia-driver", "nvidia-toolkit"})
"""Names of the Components that are there for GPUs."""
TOOLKIT: Final = "nvidia-toolkit"
PRESENT: Final = "nvidia.com/gpu.present"
"""Label of Nodes with GPUs that pods can get; NVIDIA's own discovery uses the same names."""
COUNT, PRODUCT = "nvidia.com/gpu.count", "nvidia.com/gpu.product"
MEMORY, DRIVER = "nvidia.com/gpu.memory", "nvidia.com/cuda.driver-version.full"
_MOST, _WORD, _WORDS = 1024, 128, 300
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Gpus:
    """What was seen."""

    count: int = 0
    """How many the bus has."""
    model: str = ""
    memory_mi: int = 0
    driver: str = ""
    silent: str = ""
    """What nvidia-smi said in place of an answer."""


def parse(lines: Iterable[str]) -> Gpus:
    """From the lines of a survey, which may hold anything."""
    count, silent, card = 0, "", ("", 0, "")
    for line in lines:
        if not line.startswith("gpu "):
            continue
        _, key, value, *_ = *line.split(" ", 2), "", ""
        if key == "count":
            count = min(_number(value), _MOST)
        elif key == "silent":
            silent = redact_text(value)[:_WORDS].strip()
        elif key == "card" and card == ("", 0, ""):
            driver, memory, name, *_ = *(part.strip() for part in value.split(",", 2)), "", "", ""
            card = name[:_WORD], _number(memory), driver[:_WORD]
    model, memory_mi, driver = card
    return Gpus(count, model, memory_mi, driver, silent)


def facts(seen: Gpus, before: GPUFacts | None) -> GPUFacts | None:
    """For the status. What nvidia-smi does not tell at the moment stays as it was told last."""
    if not seen.count:
        return None
    known = before if before is not None and before.count == seen.count else GPUFacts(count=0)
    return GPUFacts(
        count=seen.count,
        model=seen.model or known.model,
        memory_mi=seen.memory_mi or known.memory_mi,
        driver=seen.driver or known.driver,
    )


def labels(machine: Machine, found: GPUFacts | None) -> dict[str, str]:
    """Labels of the Node: those of the spec, and of GPUs that pods can get. The spec's win."""
    told = machine.spec.labels
    if found is None or not found.count or TOOLKIT not in {c.name for c in machine.spec.components}:
        return told
    words: Mapping[str, str] = {
        PRESENT: "true",
        COUNT: str(found.count),
        PRODUCT: _label(found.model or ""),
        MEMORY: str(found.memory_mi or ""),
        DRIVER: _label(found.driver or ""),
    }
    return {**{key: value for key, value in words.items() if value}, **told}


def _label(text: str) -> str:
    return _NOT_IN_LABELS.sub("-", text)[:63].strip("-._")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
