"""How far a cluster has come with an object, by its own status. Pure.

These are the rules of kstatus, which kubectl's cli-utils and Flux go by: an object is current once
its controller has seen the newest spec and says that it is carried out. Where kstatus is content with
less than whoever waits for the object would be, more is asked for: a Job is to end, and a Service of
type LoadBalancer to have an address.

What a status says is a tenant's: nothing of its shape is relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kok.api.meta import Manifest
from kok.api.printable import plain

SAID: Final = 200
"""Characters that are kept of what a status says."""
CONDITIONS: Final = 64
"""Conditions of one object that are looked at."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    current: bool
    """What was asked for is carried out."""
    failed: bool = False
    """Nothing more comes of it by itself."""
    why: str = ""
    """What is missing, as a part of a sentence."""


CURRENT: Final = Progress(current=True)


def progress_of(live: Manifest) -> Progress:
    """How far an object is; one whose status tells nothing is current."""
    meta, status = mapping(live.get("metadata")), mapping(live.get("status"))
    if meta.get("deletionTimestamp"):
        return _lacking("it is being deleted")
    said = _conditions(status)
    seen, newest = status.get("observedGeneration"), meta.get("generation")
    if isinstance(seen, int) and isinstance(newest, int) and seen < newest:
        return _lacking("its controller has not seen the latest change")
    if said.get("Stalled", {}).get("status") == "True":
        return _failed(_told(said["Stalled"], "it is stalled"))
    if said.get("Reconciling", {}).get("status") == "True":
        return _lacking(_told(said["Reconciling"], "it is being reconciled"))
    group = str(live.get("apiVersion") or "").rpartition("/")[0]
    rule = _RULES.get((group, str(live.get("kind"))), _by_ready)
    return rule(mapping(live.get("spec")), status, said)


_Said = Mapping[str, Mapping[str, Any]]
"""Conditions by type."""


def _conditions(status: Mapping[str, Any]) -> _Said:
    found = mappings(status.get("conditions"))[:CONDITIONS]
    return {str(one.get("type"))[:SAID]: one for one in found}


def _by_ready(_spec: Mapping[str, Any], _status: Mapping[str, Any], said: _Said) -> Progress:
    ready = said.get("Ready")
    if ready is None or ready.get("status") == "True":
        return CURRENT
    return _lacking(_told(ready, "it is not ready"))


def _deployment(_spec: Mapping[str, Any], _status: Mapping[str, Any], said: _Said) -> Progress:
    """Beside the numbers of its pods, which others count."""
    going = said.get("Progressing")
    if going is not None and going.get("reason") == "ProgressDeadlineExceeded":
        return _failed(_told(going, "it makes no progress"))
    return CURRENT


def _replica_set(spec: Mapping[str, Any], status: Mapping[str, Any], said: _Said) -> Progress:
    failure = said.get("ReplicaFailure")
    if failure is not None and failure.get("status") == "True":
        return _lacking(_told(failure, "it cannot make its pods"))
    wanted, ready = _number(spec, "replicas", 1), _number(status, "readyReplicas")
    return CURRENT if ready >= wanted else _lacking(f"{ready} of {wanted} pods are ready")


def _pod(_spec: Mapping[str, Any], status: Mapping[str, Any], said: _Said) -> Progress:
    phase = status.get("phase")
    if phase == "Succeeded":
        return CURRENT
    if phase == "Failed":
        return _failed(_told(status, "it failed"))
    for type_, otherwise in (("PodScheduled", "no node takes it"), ("Ready", "it is not ready")):
        one = said.get(type_)
        if one is not None and one.get("status") != "True":
            return _lacking(_told(one, otherwise))
    return CURRENT if phase == "Running" and "Ready" in said else _lacking("it does not run yet")


def _job(spec: Mapping[str, Any], _status: Mapping[str, Any], said: _Said) -> Progress:
    for type_ in ("Failed", "FailureTarget"):
        if said.get(type_, {}).get("status") == "True":
            return _failed(_told(said[type_], "it failed"))
    done = any(
        said.get(one, {}).get("status") == "True" for one in ("Complete", "SuccessCriteriaMet")
    )
    return CURRENT if done or spec.get("suspend") is True else _lacking("it has not ended yet")


def _claim(_spec: Mapping[str, Any], status: Mapping[str, Any], _said: _Said) -> Progress:
    if status.get("phase") == "Lost":
        return _failed("its volume is lost")
    return CURRENT if status.get("phase") == "Bound" else _lacking("it has no volume yet")


def _service(spec: Mapping[str, Any], status: Mapping[str, Any], _said: _Said) -> Progress:
    if spec.get("type") != "LoadBalancer":
        return CURRENT
    given = mappings(mapping(status.get("loadBalancer")).get("ingress"))
    return CURRENT if given else _lacking("it has no address of a load balancer yet")


def _definition(_spec: Mapping[str, Any], _status: Mapping[str, Any], said: _Said) -> Progress:
    names = said.get("NamesAccepted")
    if names is not None and names.get("status") == "False":
        return _failed(_told(names, "its names are taken"))
    established = said.get("Established")
    if established is not None and established.get("status") == "True":
        return CURRENT
    for type_ in ("NonStructuralSchema", "KubernetesAPIApprovalPolicyConformant"):
        one, bad = said.get(type_), "True" if type_.startswith("Non") else "False"
        if one is not None and one.get("status") == bad:
            return _lacking(_told(one, "it is not established"))
    return _lacking(_told(established or {}, "it is not established"))


def _api_service(spec: Mapping[str, Any], _status: Mapping[str, Any], said: _Said) -> Progress:
    available = said.get("Available")
    if available is not None and available.get("status") == "True":
        return CURRENT
    if available is None and not spec.get("service"):
        return CURRENT
    return _lacking(_told(available or {}, "nobody answers for it yet"))


def _budget(_spec: Mapping[str, Any], status: Mapping[str, Any], _said: _Said) -> Progress:
    healthy, wanted = _number(status, "currentHealthy"), _number(status, "desiredHealthy")
    return CURRENT if healthy >= wanted else _lacking(f"{healthy} of {wanted} pods are healthy")


def _namespace(_spec: Mapping[str, Any], status: Mapping[str, Any], _said: _Said) -> Progress:
    if status.get("phase") in (None, "Active"):
        return CURRENT
    return _lacking("it is being deleted")


def _nothing(_spec: Mapping[str, Any], _status: Mapping[str, Any], _said: _Said) -> Progress:
    """For kinds whose numbers are counted elsewhere, and those whose `Ready` means something else."""
    return CURRENT


_Rule = Callable[[Mapping[str, Any], Mapping[str, Any], _Said], Progress]
_RULES: Final[Mapping[tuple[str, str], _Rule]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Node"): _nothing,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apps", "DaemonSet"): _nothing,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _nothing,
    ("batch", "Job"): _job,
    ("policy", "PodDisruptionBudget"): _budget,
}


def _lacking(why: str) -> Progress:
    return Progress(current=False, why=why)


def _failed(why: str) -> Progress:
    return Progress(current=False, failed=True, why=why)


def _told(what: Mapping[str, Any], otherwise: str) -> str:
    """What a condition says, or its reason."""
    text = str(what.get("message") or what.get("reason") or "")[:SAID]
    return plain(" ".join(text.split())) or otherwise


def _number(found: Mapping[str, Any], key: str, missing: int = 0) -> int:
    """Of what is no amount of pods nothing is ready."""
    value = found.get(key, missing)
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**31
    return value if fits else missing


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings among the items of a list; none of anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
