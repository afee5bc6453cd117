"""What of a survey is shown in a Machine's status. Pure."""

from __future__ import annotations

from kok.api.machine.machine import HostFacts
from kok.operators.machine.remote.survey import Survey

_LONGEST, _MOST = 253, 64
"""Of a text, and of addresses: a host tells what it likes, and the status goes to the API."""


def of(survey: Survey) -> HostFacts:
    """The facts for people and for templates of other systems."""
    facts = {key: value[:_LONGEST] for key, value in survey.facts.items()}
    cgroup = facts.get("cgroup")
    return HostFacts(
        hostname=facts.get("hostname") or None,
        machine_id=facts.get("machineID") or None,
        os=facts.get("os") or None,
        arch=survey.arch[:_LONGEST] or None,
        kernel=facts.get("kernel") or None,
        cpus=survey.cpus or None,
        memory_mi=survey.memory_mi or None,
        cgroup="v2" if cgroup == "v2" else "v1" if cgroup == "v1" else None,
        boot_id=facts.get("bootID") or None,
        addresses=[address[:_LONGEST] for address in survey.addresses[:_MOST]],
    )
