"""What is said of an upgrade of the control plane. Pure."""

from __future__ import annotations

from datetime import datetime

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import ClusterStatus
from kok.api.cluster.upgrade import UpgradeStatus
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.decide import running_version
from kok.operators.cluster.cluster.operations import upgrade, upgrade_gates
from kok.operators.cluster.cluster.operations.preflight.inspect import Asked
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.cluster.spec.target import is_above, raise_that_counts
from kok.runtime.conditions import Verdict
from kok.versions import knowledge

_THROUGH = frozenset({upgrade_gates.NODES, upgrade_gates.BACKED_OUT})
"""Steps at which the control plane is done with the version that it has."""
SHOWN = 3
"""Findings that a sentence names at most."""


def note(status: ClusterStatus, cluster: Cluster, found: ClusterOutcome) -> None:
    """Puts what acting found out about versions into the status."""
    if status.upgrade is not None:
        probed = found.probed
        if found.findings is not None or probed is not None:
            status.upgrade.findings = found.findings
        if probed is not None and probed.pending and found.findings is None:
            hop = status.upgrade.hop
            status.upgrade.waiting_for = f"the preflight for {hop}: {probed.waiting_for}"
        blocking = [f for f in status.upgrade.findings or () if f.blocks]
        if status.upgrade.step == upgrade_gates.PREFLIGHT:
            told = [f"{f.check}: {f.message}" for f in blocking]
            refused = [found.upgrade.refused] if found.upgrade.refused is not None else told
            status.upgrade.blocked_by = [one[:1024] for one in refused]
    if status.probes is not None and found.probed is not None:
        status.probes.passed = list(found.probed.passed)
    through = status.upgrade is None or status.upgrade.step in _THROUGH
    if status.nodes_version is None or (through and status.nodes_held is None):
        status.nodes_version = status.version
    if found.preflight is not None:
        status.preflight = found.preflight
    elif Asked.of(cluster) is None:
        status.preflight = None


def progressing(cluster: Cluster, found: ClusterOutcome, rolling: Verdict | None) -> Verdict | None:
    """The upgrade in place of the rollout that is a part of it; None if nothing is under way."""
    now = found.upgrade.status
    if now is None:
        return rolling
    way = f"{now.from_} -> {now.to}"
    if (trouble := _trouble(cluster, found)) is not None:
        reason, text = trouble
        why = f"; {rolling.message}" if reason == reasons.UPGRADE_STUCK and rolling else ""
        return Verdict(False, reason, f"{way}: {text}{why}")
    if rolling is not None and now.step in {upgrade_gates.SERVERS, upgrade_gates.CONTROLLERS}:
        return rolling
    via = f" by {now.hop}" if now.hop != now.to else ""
    return Verdict(True, reasons.UPGRADING, f"{way}{via}: {now.step}, waits for {now.waiting_for}")


def but(cluster: Cluster, found: ClusterOutcome) -> str:
    """What an upgrade hangs on, for the sum of all conditions."""
    now, trouble = found.upgrade.status, _trouble(cluster, found)
    if now is None or trouble is None:
        return ""
    return f"; but the upgrade {now.from_} -> {now.to} {_HOW[trouble[0]]}: {trouble[1]}"


_HOW = {
    reasons.UPGRADE_BLOCKED: "is not begun",
    reasons.UPGRADE_STUCK: "hangs",
    reasons.UPGRADE_BACKED_OUT: "was taken back",
}


def _trouble(cluster: Cluster, found: ClusterOutcome) -> tuple[str, str] | None:
    """Why an upgrade does not go on, as reason and sentence."""
    now = found.upgrade.status
    if now is None:
        return None
    if found.upgrade.refused is not None:
        return reasons.UPGRADE_BLOCKED, found.upgrade.refused
    if now.step == upgrade_gates.BACKED_OUT:
        return reasons.UPGRADE_BACKED_OUT, _backed_out(cluster, now)
    if blocked := _blocked(cluster, found, now):
        return reasons.UPGRADE_BLOCKED, blocked
    if found.upgrade.stuck:
        return reasons.UPGRADE_STUCK, _stuck(cluster, found, now)
    return None


def spec_behind(cluster: Cluster) -> Verdict | None:
    """That Git has yet to follow what a FleetUpgrade raised; None where it has."""
    raised, asked = raise_that_counts(cluster), cluster.spec.version
    if raised is None:
        return None
    return Verdict(
        True,
        reasons.RAISED,
        f"FleetUpgrade {raised.by} raised spec.version {asked} to {raised.to}; write "
        f"'version: \"{raised.to}\"' into spec where the Cluster is kept",
    )


def of_releases(cluster: Cluster, found: ClusterOutcome, now: datetime) -> dict[str, Verdict]:
    """Whether what runs is out of date, and whether it has a known CVE."""
    runs, known = running_version(cluster, found.view), found.view.known
    if runs is None:
        return {}
    releases, out = known.releases, {}
    if (late := knowledge.outdated(releases, runs, now)) is not None:
        ended = "no more patch levels" in late
        reason = reasons.END_OF_LIFE if ended else reasons.PATCH_AVAILABLE
        out[reasons.OUTDATED] = Verdict(True, reason, late)
    else:
        text = f"nothing later than {runs} is known of its minor"
        out[reasons.OUTDATED] = Verdict(False, reasons.CURRENT, text)
    has = knowledge.vulnerable(releases, runs)
    if has is not None:
        out[reasons.VULNERABLE] = Verdict(True, reasons.CVE_KNOWN, has)
    elif known.problem is not None:
        out[reasons.VULNERABLE] = Verdict(None, reasons.RELEASES_UNUSABLE, known.problem)
    elif releases.document is not None:
        text = f"no CVE of {runs} is known, as of {releases.document.issued:%Y-%m-%d}"
        out[reasons.VULNERABLE] = Verdict(False, reasons.NO_CVE, text)
    return out


def _blocked(cluster: Cluster, found: ClusterOutcome, now: UpgradeStatus) -> str:
    if now.step != upgrade_gates.PREFLIGHT:
        return ""
    findings = found.findings if found.findings is not None else now.findings or []
    blocking = [f for f in findings if f.blocks]
    if not blocking:
        return ""
    told = "; ".join(f"{f.check}: {f.message}" for f in blocking[:SHOWN])
    more = f"; and {len(blocking) - SHOWN} more" if len(blocking) > SHOWN else ""
    consent = ",".join(f"{f.check}/{f.object}" if f.object else f.check for f in blocking[:SHOWN])
    return (
        f"{told}{more}. Mend that, or annotate Cluster {cluster.namespace}/{cluster.name} with "
        f"kok.dev/upgrade-consent={consent}"
    )


def _stuck(cluster: Cluster, found: ClusterOutcome, now: UpgradeStatus) -> str:
    patience = cluster.spec.upgrade.progress_deadline
    begun = now.step != upgrade_gates.PREFLIGHT and not now.backing_out
    may = begun and upgrade.may_back_out(now, found.upgrade.lowest)
    back = f"; {_way_back(cluster, now)} to go back" if may else ""
    return f"{now.step} made no progress for {patience}, it waits for {now.waiting_for}{back}"


def _way_back(cluster: Cluster, now: UpgradeStatus) -> str:
    """What has it go back; of one that a FleetUpgrade raised the spec alone does not."""
    raised = raise_that_counts(cluster)
    if raised is not None and is_above(raised.to, now.hop_from):
        return "set spec.upgrade.onFailure to BackOut"
    return f"set spec.version to {now.hop_from}"


def _backed_out(cluster: Cluster, now: UpgradeStatus) -> str:
    why = now.blocked_by[0] if now.blocked_by else "it made no progress"
    raised = raise_that_counts(cluster)
    give_up = ", and given up by spec.upgrade.fleet: Forbid" if raised is not None else ""
    return (
        f"{now.hop} runs again ({why}); it is tried again when spec.version changes, or by kubectl "
        f"annotate cluster {cluster.name} -n {cluster.namespace} --overwrite "
        f"kok.dev/upgrade-retry=<any new value>{give_up}"
    )
