"""Hooks of a chart, which Helm would run before, after or between: what becomes of each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.runtime.controller.errors import Invalid

HOOK: Final = "helm.sh/hook"
DELETE_POLICY: Final = "helm.sh/hook-delete-policy"
_TESTS: Final = frozenset({"test", "test-success", "test-failure"})
_BEFORE: Final = frozenset({"crd-install", "pre-install", "pre-upgrade"})
_PLAIN: Final = frozenset(
    {
        *("ClusterRole", "ClusterRoleBinding", "ConfigMap", "CustomResourceDefinition"),
        *("LimitRange", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PriorityClass"),
        *("ResourceQuota", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"),
        "StorageClass",
    }
)
"""Kinds that do nothing by themselves: to be there before the others is all that is asked of them,
and they come before what runs in any case."""
_NAMED: Final = 5


def without_hooks(
    chart: str, manifests: Sequence[Manifest], policy: Literal["Refuse", "Ignore"]
) -> list[Manifest]:
    """What is to be applied. Raises `Invalid` for hooks that would have to be run."""
    kept, run = [], []
    for manifest in manifests:
        events = hook_events(manifest)
        if not events or _is_plain(manifest, events):
            kept.append(manifest)
        elif not events <= _TESTS:
            run.append(manifest)
    if run and policy == "Refuse":
        named = [
            f"{one['kind']} {one['metadata']['name']} ({', '.join(sorted(hook_events(one)))})"
            for one in run[:_NAMED]
        ]
        more = f" and {len(run) - _NAMED} more" if len(run) > _NAMED else ""
        raise Invalid(
            reasons.HOOKS_REFUSED,
            f"{chart} has hooks that only Helm itself would run: {', '.join(named)}{more}; switch "
            "them off by the chart's values, or write hooks: Ignore to leave them out",
        )
    return kept


def hook_events(manifest: Manifest) -> frozenset[str]:
    """When Helm would run it; never for what is none."""
    written = (manifest["metadata"].get("annotations") or {}).get(HOOK)
    text = written if isinstance(written, str) else ""
    return frozenset(one for part in text.split(",") if (one := part.strip()))


def _is_plain(manifest: Manifest, events: frozenset[str]) -> bool:
    """Whether it is there for what comes after it, and stays.

    What is deleted once a hook has run is there for the hook alone.
    """
    if manifest["kind"] == "CustomResourceDefinition":
        return True
    policy = (manifest["metadata"].get("annotations") or {}).get(DELETE_POLICY) or ""
    stays = "hook-succeeded" not in str(policy)
    return stays and manifest["kind"] in _PLAIN and bool(events & _BEFORE)
