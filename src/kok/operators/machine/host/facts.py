"""What of a survey is shown in a Machine's status. Pure."""

from __future__ import annotations

from kok.api.machine import HostFacts
from kok.operators.machine.host.survey import Survey


def of(survey: Survey) -> HostFacts:
    """The facts for people and for templates of other systems."""
    facts = survey.facts
    cgroup = facts.get("cgroup")
    return HostFacts(
        hostname=facts.get("hostname") or None,
        machine_id=facts.get("machineID") or None,
        os=facts.get("os") or None,
        arch=survey.arch or None,
        kernel=facts.get("kernel") or None,
        cpus=int(facts["cpus"]) if facts.get("cpus", "").isdecimal() else None,
        memory_mi=survey.memory_mi or None,
        cgroup="v2" if cgroup == "v2" else "v1" if cgroup == "v1" else None,
        boot_id=facts.get("bootID") or None,
        addresses=list(survey.addresses),
    )
