"""What is said of GPUs. Pure, and never a reason for which a node would not serve."""

from __future__ import annotations

from kok.api.machine.machine import MachineStatus
from kok.operators.machine import gpus, reasons
from kok.operators.machine.machine.view import MachineView
from kok.runtime.conditions import Verdict

GPU_READY = "GPUReady"
"""Whether the host has GPUs whose driver answers. Absent unless software for GPUs is wanted."""


def gpu_ready(status: MachineStatus, view: MachineView) -> Verdict | None:
    """The condition; None: there is none to be told."""
    if not gpus.SOFTWARE & {c.name for c in view.machine.spec.components}:
        return None
    survey = view.memory.survey
    if survey is None:
        before = view.status.condition(GPU_READY)
        if before is None:
            return Verdict(None, reasons.GPU_UNKNOWN, "the host has not been looked at yet")
        known = {"True": True, "False": False}.get(before.status)
        return Verdict(known, before.reason, before.message)
    seen, facts = survey.gpus, status.facts.gpu if status.facts is not None else None
    if not seen.count:
        return Verdict(
            False,
            reasons.NO_GPU,
            "the host has no GPU of NVIDIA: neither driver nor toolkit is installed, and the node "
            "serves without; leave spec.nvidia out of the KubeNode, or see whether the GPU is plugged "
            "in and passed on to the host (`lspci -d 10de:`)",
        )
    if not seen.driver:
        why = seen.silent or "there is no nvidia-smi yet"
        return Verdict(
            False,
            reasons.GPU_SILENT,
            f"the bus has {_many(seen.count)}, but their driver does not answer: {why}",
        )
    model = (facts.model if facts is not None else None) or seen.model
    return Verdict(
        True, reasons.GPU_READY, f"{_many(seen.count)} ({model}) with driver {seen.driver}"
    )


def _many(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"
