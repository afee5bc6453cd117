"""KOK in a lab, installed as a user would: with Helm, from our chart and our image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from e2e.framework.report import Report
from e2e.lab import Lab
from kok.kube import kinds
from kok.kube.client import Kube

CHECKOUT = Path(__file__).resolve().parents[2]
CHART = Path("charts") / "kok"
RELEASE = "kok"
NAMESPACE = "kok-system"


SMALL = {"resources": {"requests": {"cpu": "20m"}}}
"""Scenarios fill the meta cluster of a machine with two cores, and leave no room to reserve more."""
OPERATORS = ("etcd", "cluster", "machine")


def _values(image: str, given: Mapping[str, object]) -> dict[str, object]:
    repository, tag = image.rsplit(":", 1)
    small = {"operators": dict.fromkeys(OPERATORS, SMALL), "single": SMALL}
    return {"image": {"repository": repository, "tag": tag}, **small, **given}


async def _installed(lab: Lab, wanted: str) -> bool:
    """Whether the release holds exactly the manifests that the chart would give now."""
    releases = json.loads(await lab.helm("list", "-n", NAMESPACE, "-o", "json"))
    current = next((r for r in releases if r["name"] == RELEASE), None)
    if current is None or current["status"] != "deployed":
        return False
    manifest = await lab.helm("get", "manifest", RELEASE, "-n", NAMESPACE)
    return _documents(manifest) == _documents(wanted)


def _documents(text: str) -> list[str]:
    found = [d for d in yaml.safe_load_all(text) if d]
    return sorted(json.dumps(d, sort_keys=True) for d in found)


async def install(lab: Lab, report: Report, *, tree: Path = CHECKOUT, **chosen: object) -> None:
    """Installs or upgrades the release, only if it differs; returns when all operators are up.

    Image, chart and CRDs are those of `tree`. Further values are the chart's own, such as
    `singleProcess=True`.
    """
    image = await lab.operator_image(tree)
    chart = tree / CHART
    values = json.dumps(_values(image, chosen))
    arguments = (RELEASE, str(chart), "-n", NAMESPACE, "-f", "-")
    wanted = await lab.helm("template", *arguments, "--no-hooks", stdin=values)
    if await _installed(lab, wanted):
        report.line("KOK is installed as the chart says")
    else:
        # Helm installs CRDs once and never changes them, so a chart's upgrade applies them first.
        await lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(chart / "crds"))
        await lab.helm("upgrade", "--install", *arguments, "--create-namespace", stdin=values)
    await _rolled_out(lab)


async def _rolled_out(lab: Lab) -> None:
    async with await Kube.from_kubeconfig(
        lab.kubeconfig.read_text(), field_manager="kok-e2e", timeout=60.0
    ) as kube:
        ours = {
            d["metadata"]["name"]: d["spec"]["replicas"]
            for d in await kube.list(kinds.DEPLOYMENT, NAMESPACE)
            if d["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == RELEASE
        }
    names = list(ours)
    if not names:
        raise RuntimeError(f"the chart made no Deployment in namespace {NAMESPACE}")
    # A scenario that was killed while it kept an operator away; Helm sees no difference in it.
    if away := [f"deployment/{name}" for name, replicas in ours.items() if not replicas]:
        await lab.kubectl("scale", "-n", NAMESPACE, "--replicas=1", *away)
    await asyncio.gather(
        *(
            lab.kubectl(
                "rollout",
                "status",
                f"deployment/{n}",
                "-n",
                NAMESPACE,
                "--timeout=600s",
                timeout=620,
            )
            for n in names
        )
    )
