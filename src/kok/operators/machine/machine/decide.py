"""What to do next for one Machine: pure, a chain of questions whose order is the policy."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlsplit

from kok.api.machine.machine import Finding, Machine, MachineStatus
from kok.operators.machine import reasons
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.component.sandboxed import Templates
from kok.operators.machine.machine import jobs as wanted_
from kok.operators.machine.machine.observe import World, expected_key, rival
from kok.operators.machine.machine.steps import (
    Finish,
    Idle,
    Install,
    Join,
    Look,
    Reclaim,
    Record,
    Refuse,
    Scan,
    Step,
)
from kok.operators.machine.remote import agent, join, paths, places, preflight
from kok.operators.machine.remote.permits import Problem
from kok.operators.machine.remote.session import NEVER, View
from kok.operators.machine.remote.survey import Found, Question, Survey

RECHECK = 15.0
"""Seconds after which a host that did not pass is looked at again."""
JOIN_PATIENCE = 60.0
"""Seconds in which a started kubelet must have its credentials."""
TURN_AGAIN = 5.0
"""Seconds after which it is asked again whether it is a Machine's turn."""
FINISH_EVERY = 5.0
FINISH_MOST = 300.0
"""Seconds between two attempts to remove a bootstrap token; the first of them are closer."""
RECLAIM_EVERY = 60.0
"""Seconds between two clean-ups of what earlier Machines left. A host tells of one at a time."""
LISTEN, LISTEN_FOR = 5.0, 60.0
"""Seconds after which a host is looked at again whose kubelet was changed and says nothing, and for
which that goes on; then it is looked at like others that do not serve."""
EVER_READY = frozenset({"Ready", "Updating", "NotReady"})
"""Phases of a Machine that was Ready at some time."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision depends on."""

    machine: Machine
    status: MachineStatus
    world: World
    view: View
    doing: str
    """What goes on at the host at this moment."""
    wait: float
    """Seconds until the host may be tried again after an error."""
    now: datetime
    monotonic: float
    survey_every: float
    templates: Templates = field(default_factory=Templates)
    turn: bool = True
    """Whether a Machine that no KubeNode stages may turn to another address or CA of its cluster."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, and what was found on the way to it, for the status."""

    step: Step
    seen: bool = False
    """Whether the host was seen and compared with what is wanted: the rest means something."""
    wanted: Mapping[str, Rendered] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Of the preflight."""
    joining: str = ""
    """Why the host has not joined yet, if that is known; `-`: it has."""


def decide(case: Case) -> Decision:
    """What to do next."""
    step = _reach(case)
    if step is not None:
        return Decision(step)
    if case.world.beyond:
        return Decision(Refuse(wanted_.beyond(case.machine, case.world.beyond)))
    questions, problem = wanted_.questions(case.machine, case.world.components, case.templates)
    if problem is not None:
        return Decision(Refuse(problem))
    look = _look(case, questions)
    survey = case.view.survey
    if survey is None or case.view.asked != look.digest:
        return Decision(Idle() if case.doing else look)
    wanted, problem = wanted_.render(case.machine, case.world.components, case.templates, survey)
    if problem is not None:
        return Decision(Refuse(problem))
    lacking = tuple(wanted_.lacking(wanted, survey))
    findings = tuple(_findings(case, survey, fetches=bool(lacking)))
    if case.doing:
        step = Idle()
    elif case.monotonic - _seen(case.view) >= _keeps(case, findings):
        step = look
    else:
        step = (
            _use(case, survey, findings)
            or _software(case, wanted, survey, lacking)
            or _join(case, survey)
        )
        if isinstance(step, Idle):
            waits = [s for s in (step.after, _again(case, findings)) if s is not None]
            step = Idle(min(waits, default=None))
    return Decision(step, True, wanted, lacking, findings, _joining(case))


def mine(case: Case) -> bool:
    """Whether the host is known to be this Machine's."""
    survey = case.view.survey
    return survey is not None and survey.owner.uid == case.machine.metadata.uid


def unheard(case: Case) -> bool:
    """Whether a kubelet that was changed has yet to prove that it works, see `proof`."""
    return case.status.kubelet_change is not None


def listening(case: Case) -> bool:
    """Whether that is to be known at once."""
    return unheard(case) and case.monotonic - case.view.changed < LISTEN_FOR


def _reach(case: Case) -> Step | None:
    """The way to the host: credentials, host key, patience after errors."""
    world, view = case.world, case.view
    if not mine(case) and world.others is not None:
        problem = rival(case.machine, world.others, world.odd)
        if problem is not None:
            return Refuse(problem)
    if world.refusal is not None:
        return Refuse(world.refusal)
    if case.doing and view.survey is None:
        return Idle()
    if case.wait > 0:
        return Idle(case.wait)
    want = expected_key(case.machine, case.status)
    if want.fingerprint is None:
        return Record(view.shown_key) if view.shown_key else Scan()
    return None


def _look(case: Case, questions: Sequence[Question]) -> Look:
    made_of = sorted((q.name, q.probe, *q.paths) for q in questions)
    spec, want = case.machine.spec, expected_key(case.machine, case.status)
    # What was seen behind another port, or by another key, says nothing of what is there.
    place = (spec.port, want.fingerprint)
    digest = hashlib.sha256(repr((place, made_of)).encode()).hexdigest()[:16]
    return Look(tuple(questions), _urls(case), _towards(case), digest)


def _keeps(case: Case, findings: Sequence[Finding]) -> float:
    """Seconds for which what was seen of the host may be relied on."""
    if listening(case):
        return LISTEN
    node, view = case.world.node, case.view
    expected = case.status.phase in EVER_READY or view.joined is not None
    failing = unheard(case) or (expected and (node is None or not node.ready))
    failing = failing or (view.identity is not None and bool(view.identity.failing))
    return RECHECK if failing or not preflight.passed(findings) else case.survey_every


def _seen(view: View) -> float:
    """When the host was last seen. A kubelet that was just started needs a moment to show itself."""
    if view.surveyed == NEVER:
        return NEVER
    return max(view.surveyed, view.changed, view.joined if view.joined is not None else NEVER)


def _again(case: Case, findings: Sequence[Finding]) -> float | None:
    """Seconds until an idle host is looked at again, if that is sooner than usual."""
    keeps = _keeps(case, findings)
    return keeps if keeps < case.survey_every else None


def _urls(case: Case) -> tuple[str, ...]:
    """What the host has to reach; asked only as long as something may have to be fetched."""
    if case.status.is_true("Ready"):
        return ()
    machine = case.machine
    base = machine.spec.artifacts.base_url
    urls = [f"{base.rstrip('/')}/"] if base else []
    for component in machine.spec.components:
        mirrors = component.params.get("mirrors")
        if component.name == paths.CONTAINERD and isinstance(mirrors, Mapping):
            # Somebody's own Component of that name may mean something else by it.
            listed = [m[0] for m in mirrors.values() if isinstance(m, list) and m]
            urls += [f"{url.rstrip('/')}/v2/" for url in listed if isinstance(url, str)]
    return tuple(dict.fromkeys(urls))


def _towards(case: Case) -> str:
    """An address of the cluster's API: the host's own address towards it is the node's."""
    host = urlsplit(case.world.access.server).hostname if case.world.access is not None else None
    try:
        return str(ipaddress.ip_address(host or ""))
    except ValueError:
        return ""


def _findings(case: Case, survey: Survey, *, fetches: bool) -> list[Finding]:
    return preflight.findings(
        preflight.Case(
            survey=survey,
            params={c.name: c.params for c in case.machine.spec.components},
            neighbours=case.view.neighbours,
            fetches=fetches,
            begun=mine(case),
            base_url=case.machine.spec.artifacts.base_url,
            networks=case.world.networks,
        )
    )


def _use(case: Case, survey: Survey, findings: tuple[Finding, ...]) -> Step | None:
    """Whether the host may be used: it is nobody else's, and fit."""
    owner, uid = survey.owner, case.machine.metadata.uid
    if owner.uid and owner.uid != uid:
        if case.world.left_behind:
            after = case.view.reclaimed + RECLAIM_EVERY - case.monotonic
            return Reclaim(owner) if after <= 0 else Idle(after)
        text = agent.taken(case.machine.spec.address, owner, case.machine.namespace)
        return Refuse(Problem(reasons.HOST_IN_USE, text), RECHECK)
    if not owner.uid and (problem := _another(case)) is not None:
        return Refuse(problem, RECHECK)
    if not preflight.passed(findings):
        problem = Problem(reasons.PREFLIGHT_FAILED, preflight.sentence(findings))
        return Refuse(problem, RECHECK)
    return None


def _another(case: Case) -> Problem | None:
    """What is wrong with a host that is not marked, if it cannot be the one of the Machine."""
    machine, was = case.machine, case.status.installed_on
    want = expected_key(machine, case.status)
    found = places.compare(was, machine.spec.address, machine.spec.port, want)
    if was is None or found is not places.Sameness.OTHER:
        return None
    return Problem(
        reasons.ANOTHER_HOST,
        f"{places.told(was, machine.spec.port, want)}: write spec.port and spec.hostKey as they were, "
        "or delete the Machine and create another for the other host",
    )


def _software(
    case: Case, wanted: Mapping[str, Rendered], survey: Survey, lacking: tuple[str, ...]
) -> Step | None:
    if not lacking:
        return None
    there = survey.found.get(paths.KUBELET, Found()).version
    if paths.KUBELET in lacking and there != wanted[paths.KUBELET].version:
        problem = wanted_.skew(case.machine, case.world.cluster)
        if problem is not None:
            return Refuse(problem, RECHECK)
    found = wanted_.due(case.machine, case.status, wanted, survey, case.now)
    if found.plans:
        return Install(found.plans, found.started)
    return Idle(found.after)


def todo(case: Case) -> join.JoinPlan | None:
    """What is to be done so that the host is a member of its cluster; None also if unknown."""
    access, identity = case.world.access, case.view.identity
    if access is None or identity is None:
        return None
    found = join.plan(identity, access, case.machine.spec.node, case.now)
    hashed = case.machine.spec.access_hash
    if found is not None and found.staged and case.status.first_ready:
        # One that serves goes on as it is until it is its turn; its KubeNode says so if it has one.
        turn = hashed == access.digest if hashed else case.turn
        return found if turn else None
    return found


def turning(case: Case) -> bool:
    """Whether it has to turn to another address or CA, and no KubeNode says when."""
    found = todo(replace(case, turn=True))
    return found is not None and found.staged and not case.machine.spec.access_hash


def _joining(case: Case) -> str:
    """Why the host has not joined; `-` if it has; empty if that cannot be said yet."""
    if case.world.access is None or case.view.identity is None:
        return ""
    found = todo(case)
    return found.why if found is not None else "-"


def _join(case: Case, survey: Survey) -> Step:
    kubelet = paths.KUBELET in {c.name for c in case.machine.spec.components}
    if not kubelet or not case.world.takes_nodes or case.view.identity is None:
        return Idle()
    found = todo(case)
    if found is None and _token_left(case):
        every = min(FINISH_MOST, FINISH_EVERY * 2.0 ** min(case.view.unfinished, 10))
        after = case.view.finished + every - case.monotonic
        return Finish() if after <= 0 else Idle(after)
    if found is None:
        # A kubelet makes its Node when it starts and never again.
        gone = join.JoinPlan("its Node is gone", token=False)
        if case.world.node_lost:
            return _wait_for_kubelet(case, gone)
        return Idle() if case.turn else Idle(TURN_AGAIN)
    problem = _foreign_node(case, survey) or wanted_.skew(case.machine, case.world.cluster)
    if problem is not None:
        return Refuse(problem, RECHECK)
    return _wait_for_kubelet(case, found)


def _wait_for_kubelet(case: Case, found: join.JoinPlan) -> Step:
    view, now = case.view, case.monotonic
    if view.joined is None or now - view.joined > JOIN_PATIENCE:
        return Join(found)
    if case.world.node is not None and now - view.finished > FINISH_EVERY:
        return Finish()
    return Idle(FINISH_EVERY)


def _token_left(case: Case) -> bool:
    token, identity = case.status.token_id, case.view.identity
    on_host = identity is not None and identity.bootstrap
    return on_host or (token is not None and token != case.view.token_gone)


def _foreign_node(case: Case, survey: Survey) -> Problem | None:
    """Another host that already is the node of that name."""
    node, own = case.world.node, survey.facts.get("machineID", "")
    joined_before = case.view.joined is not None or case.status.kubelet is not None
    if node is None or not node.ready or joined_before or node.machine_id in ("", own):
        return None
    return Problem(
        reasons.NODE_NAME_TAKEN,
        f"node {node.name} of Cluster {case.machine.spec.cluster} is another host; give this "
        "Machine another node name, or delete that Node",
    )
