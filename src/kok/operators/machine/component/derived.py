"""What of the built-in software a KubeNode is to have, and what follows for it from its cluster. Pure.

The templates of `builtin/*/component.yaml`, `params.json` and `check.txt` see

    kubenode     the spec of the KubeNode, as users write it, with defaults
    cluster      the spec of its Cluster
    kubernetes   {version, major, minor} of the kubelets
    images       {pause}: the image of sandboxes
    network      {dns, domain, maxPods}: what pods are told; `maxPods` is none if it is as usual
    runtime      {name, endpoint}: what the kubelet talks to; not for `when` and `pinned`
    version      of the software itself, and `numbers`, what it begins with; not for `when` and `pinned`
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kok.operators.machine.component import catalog
from kok.operators.machine.component.template import render

Context = Mapping[str, Any]


def wanted(context: Context) -> list[str]:
    """Names of the software, sorted."""
    return [name for name in sorted(catalog.builtin()) if _applies(name, context)]


def version(name: str, defaults: Mapping[str, str]) -> str:
    """The version that somebody gets who asks for none; `defaults` belong to his Kubernetes."""
    return defaults.get(name) or str(catalog.definition(name).get("version", ""))


def pinned(name: str, context: Context) -> str:
    """The version that the KubeNode asks for; empty if it asks for none."""
    return _said(name, "pinned", catalog.definition(name).get("pinned", ""), context)


def runtime(names: Iterable[str]) -> dict[str, str]:
    """`runtime` for templates, of software by name."""
    known = (catalog.definition(name).get("runtime") for name in names)
    return dict(next((found for found in known if found), {"name": "", "endpoint": ""}))


def params(name: str, chosen: str, context: Context) -> dict[str, Any]:
    """The parameters that follow from the context, of the chosen version."""
    said = _said(name, "params.json", catalog.text(name, "params.json"), _known(chosen, context))
    derived: dict[str, Any] = json.loads(said or "{}")
    return derived


def problem(name: str, chosen: str, context: Context) -> str:
    """What is wrong with what was asked for, at the chosen version: a sentence, or nothing."""
    said = _said(name, "check.txt", catalog.text(name, "check.txt"), _known(chosen, context))
    return " ".join(said.split())


def _known(chosen: str, context: Context) -> Context:
    return {**context, "version": chosen, "numbers": catalog.numbers(chosen)}


def _applies(name: str, context: Context) -> bool:
    when = catalog.definition(name).get("when", "")
    return not when or _said(name, "when", when, context) == "True"


def _said(name: str, part: str, template: str, context: Context) -> str:
    return render(f"{name}: {part}", template, context).strip() if template else ""
