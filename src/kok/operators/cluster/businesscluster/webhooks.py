"""Webhooks of a business cluster that may refuse what an upgrade writes there, and whether they answer.

What counts is a webhook that has to be asked (`failurePolicy: Fail`) about something that the control
plane, kubelets or KOK write: while nobody answers for it, all of that is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kok.api.meta import Kind, Manifest
from kok.api.printable import plain
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking

GROUP: Final = "admissionregistration.k8s.io"
CONFIGURATIONS: Final = (
    Kind(GROUP, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False),
    Kind(GROUP, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False),
)
NAMESPACES: Final = ("kube-system", "default")
"""Where what an upgrade writes lies, as far as it lies in a namespace."""
MOST: Final = 256
"""Webhooks that are looked at in all."""
SERVICES_MOST: Final = 32
"""Services behind them that are asked for."""
_EACH, _TEXT = 64, 253
"""Entries of each list, and characters of each text, that are read."""
_CHANGES = frozenset({"*", "CREATE", "UPDATE", "DELETE"})


@dataclass(frozen=True, slots=True)
class Needed:
    """Something that an upgrade writes."""

    group: str
    resource: str
    namespaced: bool = False


NEEDED: Final = (
    Needed("", "nodes"),
    Needed("", "namespaces"),
    Needed("coordination.k8s.io", "leases", namespaced=True),
    Needed("", "pods", namespaced=True),
    Needed("", "services", namespaced=True),
    Needed("", "configmaps", namespaced=True),
    Needed("", "endpoints", namespaced=True),
    Needed("discovery.k8s.io", "endpointslices", namespaced=True),
    Needed("rbac.authorization.k8s.io", "roles", namespaced=True),
    Needed("rbac.authorization.k8s.io", "rolebindings", namespaced=True),
    Needed("rbac.authorization.k8s.io", "clusterroles"),
    Needed("rbac.authorization.k8s.io", "clusterrolebindings"),
    Needed("apiextensions.k8s.io", "customresourcedefinitions"),
    Needed("apiregistration.k8s.io", "apiservices"),
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that has to be asked about something that is needed."""

    configuration: str
    name: str
    resources: tuple[str, ...]
    """What of it it is asked about."""
    service: tuple[str, str] | None = None
    """Namespace and name of the Service that answers; None for a URL somewhere."""
    conditions: bool = False
    """Whether it has `matchConditions`, which may exclude all of that after all."""
    missing: str | None = None
    """Why nobody can answer, as a sentence; None if somebody may."""


async def webhooks(kube: Kube) -> tuple[Webhook, ...]:
    """All that matter, by name, with what is known of who answers. Raises `KubeError`."""
    async with asking() as group:
        lists = [group.create_task(kube.list(kind, keep=_gist)) for kind in CONFIGURATIONS]
        spaces = [group.create_task(kube.get(kinds.NAMESPACE, n)) for n in NAMESPACES]
    labels = {
        name: (one["metadata"].get("labels") or {})
        for name, task in zip(NAMESPACES, spaces, strict=True)
        if (one := task.result()) is not None
    }
    found = [
        hook
        for task in lists
        for configuration in task.result()
        for hook in _asked(configuration, labels)
    ]
    found = sorted(found, key=lambda hook: (hook.configuration, hook.name))[:MOST]
    return await _with_services(kube, found)


async def _with_services(kube: Kube, found: Iterable[Webhook]) -> tuple[Webhook, ...]:
    hooks = list(found)
    wanted = list(dict.fromkeys(hook.service for hook in hooks if hook.service is not None))
    async with asking() as group:
        asked = {
            service: group.create_task(_missing(kube, *service))
            for service in wanted[:SERVICES_MOST]
        }
    why = {service: task.result() for service, task in asked.items()}
    return tuple(
        Webhook(
            hook.configuration,
            hook.name,
            hook.resources,
            hook.service,
            hook.conditions,
            missing=why.get(hook.service) if hook.service is not None else None,
        )
        for hook in hooks
    )


async def _missing(kube: Kube, namespace: str, name: str) -> str | None:
    """Why nobody answers behind a Service, as a sentence; None if somebody may."""
    where = f"Service {plain(namespace)}/{plain(name)}"
    service = await kube.get(kinds.SERVICE, name, namespace, keep=_service)
    if service is None:
        return f"{where} does not exist"
    if service["type"] == "ExternalName":
        return None  # Somewhere else, as a URL.
    labels = {"kubernetes.io/service-name": name}
    slices = await kube.list(
        kinds.ENDPOINTSLICE, namespace, labels=labels, keep=_ready_slice, most=1
    )
    return None if slices else f"{where} has no endpoint that is ready"


def _service(live: Manifest) -> Manifest:
    return {"metadata": {"name": "it"}, "type": (live.get("spec") or {}).get("type")}


def _ready_slice(live: Manifest) -> Manifest | None:
    """For `keep`: nothing of slices in which nobody is ready. What is not said means ready."""
    endpoints = live.get("endpoints")
    for one in endpoints if isinstance(endpoints, list) else ():
        conditions = one.get("conditions") if isinstance(one, dict) else None
        told = conditions.get("ready") if isinstance(conditions, dict) else None
        if isinstance(one, dict) and one.get("addresses") and told is not False:
            return {"metadata": {"name": "it"}}
    return None


def _gist(live: Manifest) -> Manifest | None:
    """For `keep`: of a configuration the webhooks that have to be asked, without their CAs."""
    listed = live.get("webhooks")
    hooks = [
        {
            "name": _text(hook.get("name")),
            "rules": _maps(hook.get("rules")),
            "namespaceSelector": hook.get("namespaceSelector"),
            "objectSelector": hook.get("objectSelector"),
            "conditions": bool(hook.get("matchConditions")),
            "service": _service_of(hook),
        }
        for hook in _maps(listed)
        if hook.get("failurePolicy", "Fail") == "Fail"
    ]
    name = _text(live["metadata"]["name"])
    return {"metadata": {"name": name}, "webhooks": hooks} if hooks else None


def _service_of(hook: Mapping[str, Any]) -> list[str] | None:
    config = hook.get("clientConfig")
    service = config.get("service") if isinstance(config, dict) else None
    if not isinstance(service, dict) or not (service.get("namespace") and service.get("name")):
        return None
    return [str(service[key])[:_TEXT] for key in ("namespace", "name")]


def _asked(
    configuration: Manifest, namespaces: Mapping[str, Mapping[str, str]]
) -> Iterable[Webhook]:
    """The webhooks of one configuration that are asked about something that is needed."""
    for hook in configuration["webhooks"]:
        about = tuple(
            needed.resource
            for needed in NEEDED
            if _covers(hook["rules"], needed) and _reaches(hook, needed, namespaces)
        )
        if about:
            service = hook["service"]
            yield Webhook(
                configuration["metadata"]["name"],
                hook["name"],
                about,
                None if service is None else (service[0], service[1]),
                hook["conditions"],
            )


def _covers(rules: Iterable[Mapping[str, Any]], needed: Needed) -> bool:
    scope = "Namespaced" if needed.namespaced else "Cluster"
    return any(
        _texts(rule.get("apiGroups")) & {"*", needed.group}
        and _texts(rule.get("resources")) & {"*", "*/*", needed.resource, f"{needed.resource}/*"}
        and _texts(rule.get("operations")) & _CHANGES
        and rule.get("scope", "*") in {"*", scope, None}
        for rule in rules
    )


def _reaches(
    hook: Mapping[str, Any], needed: Needed, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether its selectors let it be asked. Objects of ours carry none of a webhook's labels.

    Cluster-wide objects have no namespace that could exclude them; a Namespace is chosen by its own
    labels.
    """
    if not selects(hook["objectSelector"], {}):
        return False
    if not needed.namespaced and needed.resource != "namespaces":
        return True
    return any(selects(hook["namespaceSelector"], labels) for labels in namespaces.values())


def selects(selector: object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; one that cannot be read may match anything."""
    if not isinstance(selector, dict):
        return True
    wanted = selector.get("matchLabels")
    if isinstance(wanted, dict) and any(labels.get(k) != v for k, v in wanted.items()):
        return False
    return all(_holds(one, labels) for one in _maps(selector.get("matchExpressions")))


def _holds(one: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = str(one.get("key")), _texts(one.get("values"))
    match one.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True


def _maps(value: object) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else []
    return [one for one in found[:_EACH] if isinstance(one, dict)]


def _texts(value: object) -> set[str]:
    found = value if isinstance(value, list) else []
    return {one for one in found[:_EACH] if isinstance(one, str)}


def _text(value: object) -> str:
    return plain(str(value or "")[:_TEXT])
