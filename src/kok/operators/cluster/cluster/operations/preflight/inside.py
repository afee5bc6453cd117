"""What in a business cluster speaks against a version: APIs that go, webhooks that refuse. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kok.api.cluster.upgrade import UpgradeFinding
from kok.operators.cluster.businesscluster.deprecated import Counted, Requested, Stored
from kok.operators.cluster.businesscluster.look import Unseen
from kok.operators.cluster.businesscluster.webhooks import Webhook
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.operations.preflight.findings import error, warning
from kok.operators.cluster.cluster.spec.target import number
from kok.versions import Minor

DEPRECATED, WEBHOOKS = "DeprecatedAPIs", "Webhooks"


def deprecated_apis(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    """Versions of APIs that somebody still uses."""
    look, target = facts.look, number(version)
    if look is None or target is None:
        return
    written = look.stored if not isinstance(look.stored, Unseen) else ()
    if isinstance(look.counted, Unseen):
        text = (
            f"the API {look.counted.why}, so that nobody knows which deprecated APIs are asked for"
        )
        yield warning(DEPRECATED, "metrics", text)
    else:
        yield from _asked_for(look.counted, look.servers, written, target.line)
    if isinstance(look.stored, Unseen):
        text = f"the API {look.stored.why}, so that nobody knows by which APIs objects are written"
        yield warning(DEPRECATED, "objects", text)
    for one in written:
        yield warning(DEPRECATED, one.name, _written(one, target.line))


def _asked_for(
    counted: Counted, servers: int, written: Sequence[Stored], target: Minor
) -> Iterator[UpgradeFinding]:
    if counted.servers < servers:
        text = (
            f"{counted.servers} of {servers} API servers was met behind their address: what the "
            "others count of deprecated APIs is not known"
        )
        yield warning(DEPRECATED, "metrics", text)
    writers = {one.name: one.managers for one in written}
    for api in sorted(counted.apis):
        who = ", ".join(writers.get(api.name, ()))
        hint = f"objects are written by {who}" if who else _where_to_look(api)
        if api.removed <= target:
            text = (
                f"{api.name} was asked for since the API servers started, and {api.removed} no longer "
                f"serves it; {hint}; once nobody asks for it any more restart the API servers, which "
                "then count anew, or consent"
            )
            yield error(DEPRECATED, api.name, text)
        else:
            text = f"{api.name} is asked for, which {api.removed} no longer serves; {hint}"
            yield warning(DEPRECATED, api.name, text)


def _where_to_look(api: Requested) -> str:
    return (
        "who asks for it stands in the audit log (annotation k8s.io/removed-release), and who writes "
        f"its objects in their managedFields: kubectl get {api.resource} -A -o yaml "
        "--show-managed-fields"
    )


def _written(one: Stored, target: Minor) -> str:
    objects = ", ".join(one.objects) + (" and more" if one.more else "")
    return (
        f"{objects}: {', '.join(one.managers)} writes by {one.name}, which {target} no longer "
        "serves; have it use another version"
    )


def webhooks(facts: Facts, version: str) -> Iterator[UpgradeFinding]:
    """Webhooks without which nothing that an upgrade needs could be written."""
    del version
    if facts.look is None:
        return
    if isinstance(facts.look.webhooks, Unseen):
        text = f"the API {facts.look.webhooks.why}, so that webhooks were not looked at"
        yield warning(WEBHOOKS, "", text)
        return
    for hook in facts.look.webhooks:
        yield _webhook(hook)


def _webhook(hook: Webhook) -> UpgradeFinding:
    name = f"{hook.configuration}/{hook.name}"
    about = ", ".join(hook.resources[:4]) + (" and more" if len(hook.resources) > 4 else "")
    if hook.missing is None:
        who = f"Service {'/'.join(hook.service)}" if hook.service else "what its URL leads to"
        text = (
            f"webhook {name} has to be asked about {about}: if {who} does not answer during the "
            "upgrade, that is refused; exclude it by rules or selectors, or set failurePolicy: Ignore"
        )
        return warning(WEBHOOKS, name, text)
    if hook.conditions:
        text = (
            f"webhook {name} may have to be asked about {about}, unless its matchConditions exclude "
            f"that, and {hook.missing}; mend or remove it"
        )
        return warning(WEBHOOKS, name, text)
    text = (
        f"webhook {name} has to be asked about {about}, and {hook.missing}: all of that is refused; "
        "mend or remove it, or set failurePolicy: Ignore"
    )
    return error(WEBHOOKS, name, text)
