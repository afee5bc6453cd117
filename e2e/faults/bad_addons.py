"""Addons as users write them, and with the mistakes that they make; charts of the same kind."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from e2e.faults.chart_repository import MIB, ChartRepository, chart
from e2e.framework.follow import Predicate, condition, has
from e2e.lab.images.catalog import BUSYBOX
from kok.api import Addon
from kok.api.meta import Manifest
from kok.kube import kinds

ADDON = Addon.info.kind
SPACE = "default"
"""Where in the business cluster everything goes."""
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
UNDEFINED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: undefined, namespace: default}
data:
  word: {{ values.given.nothing | json }}
"""
BAD_CHART = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Values.nothing.inside }}}
"""


@dataclass(frozen=True)
class Wrong:
    """A mistake in the spec of an Addon, and the spec without it."""

    name: str
    source: Manifest
    reason: str
    words: tuple[str, ...]
    right: Manifest
    """Fields of the spec that mend it."""
    values: Manifest | None = None


def mistakes(charts: ChartRepository) -> list[Wrong]:
    """What a user writes wrong; the Addon names file and line, or the value."""
    helm = partial(from_chart, charts)
    to_demo = {"source": {"helm": {"chart": "demo"}}}
    place = "spec.source.inline, line 5: "
    return [
        Wrong(
            *("loops", inline(LOOPS), "TemplateInvalid", ("rendering ",)),
            {"source": inline(config("loops"))},
        ),
        Wrong(
            *("undefined", inline(UNDEFINED), "TemplateInvalid", (place, "nothing")),
            {"values": {"given": {"nothing": "x"}}},
            {"given": {}},
        ),
        Wrong(
            *("typo", helm("typo"), "TemplateInvalid"),
            ("chart typo 1.0.0, typo/templates/bad.yaml, line 3: ",),
            to_demo,
        ),
        Wrong(
            *("of-type", {"builtin": "local-path"}, "ValuesInvalid"),
            ("values.defaultClass: must be of type boolean, not string",),
            {"values": {"defaultClass": False}},
            {"defaultClass": "perhaps"},
        ),
        Wrong(
            *("of-chart", helm("demo"), "ValuesInvalid"),
            ("values.word: must be of type string, not integer",),
            {"values": {"word": "7"}},
            {"word": 7},
        ),
        Wrong(*("missing", helm("nowhere"), "SourceMissing", ("no chart nowhere",)), to_demo),
        Wrong(*("huge", helm("huge"), "SourceInvalid", ("larger than 8 MiB",)), to_demo),
        Wrong(*("bomb", helm("bomb"), "SourceInvalid", ("more than 48 MiB",)), to_demo),
    ]


def offer(charts: ChartRepository) -> None:
    """The charts that `mistakes` name, but for the one that is not there."""
    charts.add("demo")
    charts.add("typo", chart("typo", {"templates/bad.yaml": BAD_CHART}))
    charts.add("huge", chart("huge", {"noise": os.urandom(9 * MIB)}))
    charts.add("bomb", chart("bomb", {f"zeros-{n}": bytes(4 * MIB) for n in range(13)}))


def says(reason: str, *words: str) -> Predicate:
    """Whether an Addon is not Ready for that reason as it is written now, with these words."""

    def check(found: Manifest) -> bool:
        message = str(condition(found, "Ready").get("message") or "")
        return has("Ready", "False", reason)(found) and all(word in message for word in words)

    return check


# --- manifests


def addon(namespace: str, name: str, source: Manifest, **spec: Any) -> Manifest:
    """An Addon of Cluster `shop`."""
    return {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"cluster": "shop", "source": source, **spec},
    }


def inline(templates: str) -> Manifest:
    """A source of templates in the Addon itself."""
    return {"inline": templates}


def from_chart(where: ChartRepository, name: str) -> Manifest:
    """A source of that chart, whatever its version."""
    helm = {"repository": where.url, "chart": name, "version": "1.x", "ca": where.ca}
    return {"helm": {**helm, "namespace": SPACE}}


def config(name: str, word: str = "hello", wave: int = 0) -> str:
    """A ConfigMap as text."""
    meta = {"name": name, "namespace": SPACE, "annotations": {"kok.dev/wave": str(wave)}}
    return text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"word": word}})


def text(manifest: Manifest) -> str:
    """A document."""
    return f"{json.dumps(manifest)}\n"


def definition(group: str, plural: str) -> Manifest:
    """A definition of things by that name; a group can have only one of them."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = kinds.CUSTOMRESOURCEDEFINITION
    return {
        "apiVersion": crd.api_version,
        "kind": crd.kind,
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": plural},
            "versions": [version],
        },
    }


def deployment(name: str) -> Manifest:
    """A pod for which there is no node."""
    labels = {"app": name}
    spec = {"containers": [{"name": "main", "image": BUSYBOX, "command": ["sleep", "infinity"]}]}
    return {
        "apiVersion": kinds.DEPLOYMENT.api_version,
        "kind": kinds.DEPLOYMENT.kind,
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
