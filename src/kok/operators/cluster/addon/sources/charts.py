"""A Helm chart rendered by the real helm, in a process with limits. For work aside.

helm gets the chart as it was packed, from memory, and the values by its standard input; no file of
the environment, no configuration, cache or plug-in of anybody, and no network. Values are judged here
and not by helm, which would fetch what a schema refers to. `lookup` finds nothing, as in every
`helm template`.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.render import MAX_OUTPUT, Loader, finished, manifests_of
from kok.operators.cluster.addon.sources.archives import ArchiveJob, BadArchive, files
from kok.operators.cluster.addon.sources.hooks import without_hooks
from kok.operators.cluster.addon.sources.schemas import schema_problem
from kok.runtime.controller.errors import Invalid
from kok.runtime.sandbox.offline import forbid_network
from kok.runtime.sandbox.process import Limits

LIMITS: Final = Limits(cpu=15, memory=256, output=8, wall=90.0, programs=True)
"""helm itself takes some 50 MiB and 0.1 s."""
CHART_MOST: Final = 8 * 2**20
"""Bytes of a packed chart; Helm's own limit is what a Secret may hold, 1 MiB."""
ARCHIVE: Final = "chart"
_PLACE: Final = re.compile(r"([^\s:()]{1,300}):(\d{1,7})(?::\d{1,7})?\)?:?\s{1,8}")
"""File and line, as helm tells of a mistake: the last one is where it is."""
_RENDERED: Final = "YAML parse error on "
_LINE: Final = re.compile(r"yaml: line (\d{1,7}): ")
_EXECUTING: Final = re.compile(r'executing "[^"]{0,300}" at ')
_SAID_MOST: Final = 8192
_KUBE_VERSION: Final = "chart requires kubeVersion"
_ERROR_MOST: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartJob(ArchiveJob):
    """All that a rendering depends on."""

    helm: str
    """Path of the program."""
    chart: str
    """Its name and version, for sentences."""
    release: str
    namespace: str
    create_namespace: bool
    kubernetes: str
    api_versions: tuple[str, ...]
    hooks: Literal["Refuse", "Ignore"]


def render_chart(job: ChartJob) -> dict[str, Any]:
    """`manifests`, or `invalid` with reason and message: fit for JSON. Raises `MemoryError`."""
    try:
        _check(job)
        text = _helm(job)
        _same(job, text, _helm(job))
        found = without_hooks(job.chart, manifests_of(job.chart, text), job.hooks)
        return {"manifests": finished(_with_namespace(job, found), job.addon)}
    except Invalid as error:
        return {"invalid": (error.reason, error.message)}


def _check(job: ChartJob) -> None:
    """Raises `Invalid` for what is no chart, and for values that its schema does not allow."""
    found: dict[str, bytes] = {}
    try:
        for path, content in files(job.archive):
            name = path.partition("/")[2]
            if name in {"Chart.yaml", "values.yaml", "values.schema.json"}:
                found[name] = content
    except BadArchive as error:
        raise Invalid(reasons.SOURCE_INVALID, f"{job.chart} {error}") from None
    if "Chart.yaml" not in found:
        raise Invalid(reasons.SOURCE_INVALID, f"{job.chart} is no chart: it has no Chart.yaml")
    if "values.schema.json" not in found:
        return
    try:
        schema = json.loads(found["values.schema.json"])
        if not isinstance(schema, dict):
            return
        defaults = yaml.load(found.get("values.yaml", b""), Loader=Loader) or {}  # noqa: S506 - a safe one
        problem = schema_problem(schema, coalesced(defaults, job.values))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise Invalid(
            reasons.SOURCE_INVALID, f"{job.chart}: its values.schema.json cannot be used: {error}"
        ) from None
    if problem is not None:
        raise Invalid(reasons.VALUES_INVALID, f"{problem} (values.schema.json of {job.chart})")


def coalesced(defaults: Any, given: Any) -> Any:
    """Values over defaults as Helm lays them: maps merged, and what is null left out."""
    if not isinstance(defaults, Mapping) or not isinstance(given, Mapping):
        return given
    merged = {key: value for key, value in defaults.items() if key not in given}
    for key, value in given.items():
        if value is not None:
            merged[key] = coalesced(defaults[key], value) if key in defaults else value
    return merged


def _helm(job: ChartJob) -> str:
    """What `helm template` prints. Raises `Invalid`, `MemoryError`."""
    archive = os.memfd_create(ARCHIVE)
    try:
        os.write(archive, job.archive)
        command = [job.helm, "template", job.release, f"/proc/self/fd/{archive}"]
        command += ["--namespace", job.namespace, "--kube-version", job.kubernetes]
        command += ["--include-crds", "--skip-schema-validation", "--values", "-"]
        for one in job.api_versions:
            command += ["--api-versions", one]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(archive,),
            env=_environment(),
            preexec_fn=forbid_network,  # noqa: PLW1509 - this process has one thread
        )
        # It reads all values before it writes anything.
        output, said = process.communicate(json.dumps(job.values).encode())
    except (FileNotFoundError, PermissionError):
        raise Invalid(
            reasons.HELM_MISSING,
            f"the operator has no program {job.helm}; set KOK_HELM to the path of helm",
        ) from None
    finally:
        os.close(archive)
    if process.returncode != 0:
        _failed(job, process.returncode, said.decode(errors="replace"))
    if len(output) > MAX_OUTPUT:
        raise Invalid(
            reasons.TEMPLATE_INVALID,
            f"{job.chart} renders to {len(output)} characters, more than {MAX_OUTPUT}; leave parts "
            "of it out by its values, and apply these by Addons of their own",
        )
    return output.decode(errors="replace")


def _environment() -> dict[str, str]:
    nowhere = "/nonexistent"
    homes = ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS")
    return {
        **dict.fromkeys(homes, nowhere),
        "KUBECONFIG": os.devnull,
        "GOMAXPROCS": "1",
        "GOMEMLIMIT": f"{LIMITS.memory * 3 // 4}MiB",
    }


def _failed(job: ChartJob, code: int, said: str) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    allowed, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if code < 0 and allowed >= 0 and used.ru_utime + used.ru_stime >= allowed - 1:
        # As the limit ends who goes on for too long himself.
        os.kill(os.getpid(), signal.SIGXCPU)
    if "out of memory" in said or "cannot allocate memory" in said or "stack exceeds" in said:
        raise MemoryError
    raise Invalid(*_told(job, said, code))


def _told(job: ChartJob, said: str, code: int) -> tuple[str, str]:
    """Reason and sentence of an error of helm's: with file and line, where it has them."""
    lines = [
        one for one in said[:_SAID_MOST].splitlines() if not one.startswith(("level=", "WARNING"))
    ]
    text = "\n".join(lines).partition("\nUse --debug")[0].strip().removeprefix("Error: ")
    if _KUBE_VERSION in text:
        return reasons.KUBERNETES_UNSUPPORTED, (
            f"{job.chart}: {text}; take a version of the chart that is made for it"
        )
    if _RENDERED in text:
        path, _, problem = text.rpartition(_RENDERED)[2].partition(": ")
        line = _LINE.search(problem)
        place = f", line {line.group(1)} as rendered" if line else ""
        return _template(job, path, place, problem[line.end() :] if line else problem)
    places = [one for one in _PLACE.finditer(text) if "/" in one.group(1)]
    if places:
        path, number = places[-1].groups()
        return _template(job, path, f", line {number}", text[places[-1].end() :])
    if "missing in charts/ directory" in text:
        missing = text.rpartition(":")[2].strip()
        return reasons.SOURCE_INVALID, (
            f"{job.chart} lacks charts that it depends on: {missing[:_ERROR_MOST]}; take one that "
            "was packed with them"
        )
    gist = text[:_ERROR_MOST] or f"helm ended with {code}"
    return reasons.TEMPLATE_INVALID, f"{job.chart}: {gist}"


def _template(job: ChartJob, path: str, line: str, problem: str) -> tuple[str, str]:
    text = " ".join(_EXECUTING.sub("at ", problem).split())[:_ERROR_MOST]
    return reasons.TEMPLATE_INVALID, f"{job.chart}, {path}{line}: {text}"


def _same(job: ChartJob, first: str, second: str) -> None:
    """Raises `Invalid` if two renderings differ: every pass would change what is applied."""
    if first == second:
        return
    ones, others = manifests_of(job.chart, first), manifests_of(job.chart, second)
    named = [
        f"{one['kind']} {one['metadata']['name']}"
        for one, other in zip(ones, others, strict=False)
        if one != other
    ]
    raise Invalid(
        reasons.TEMPLATE_INVALID,
        f"{job.chart}: {', '.join(named[:5]) or 'its order'} comes out differently each time, by "
        "random values or the time of day; give the chart a value for it (by spec.valuesFrom if "
        "it is a secret)",
    )


def _with_namespace(job: ChartJob, found: list[Manifest]) -> list[Manifest]:
    there = any(m["kind"] == "Namespace" and m["metadata"]["name"] == job.namespace for m in found)
    if not job.create_namespace or there:
        return found
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": job.namespace}}
    return [made, *found]
