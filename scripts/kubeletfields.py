"""Writes src/kok/versions/kubelet.json and kube-proxy.json: the fields of KubeletConfiguration and
KubeProxyConfiguration, by minor version.

They are read from the Go modules k8s.io/kubelet and k8s.io/kube-proxy of each version that KOK
runs, fetched by `go`.
Run it after a minor was added to src/kok/versions/data.yaml.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

import yaml

VERSIONS = Path(__file__).parent.parent / "src/kok/versions"
CONFIGURATIONS = {
    "kubelet": ("KubeletConfiguration", "config/v1beta1/types.go"),
    "kube-proxy": ("KubeProxyConfiguration", "config/v1alpha1/types.go"),
}
"""By module: the type that a file holds, and where it is declared."""
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^type (\w+) (\w+)$", re.MULTILINE)
_FIELD = re.compile(r"^\t\w+\s+(\S+)\s+`json:\"(\w+)", re.MULTILINE)
_KNOWN = {"metav1.Duration": "duration", "bool": "bool", "string": "string"}


def fields(source: str, root: str) -> dict[str, dict[str, str]]:
    """The fields of every struct that the root leads to: name -> type.

    A type is bool, int, number, string, duration, any, the name of a struct, or one of these after
    `[]` (a list) or `{}` (a map by name).
    """
    structs = dict(_STRUCT.findall(source))
    named = dict(_NAMED.findall(source))
    found: dict[str, dict[str, str]] = {}
    todo = [root]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = {
            field: _type(kind, structs, named) for kind, field in _FIELD.findall(structs[name])
        }
        todo += [t for kind in found[name].values() if (t := kind.lstrip("[]{}")) in structs]
    return dict(sorted(found.items()))


def _type(kind: str, structs: dict[str, str], named: dict[str, str]) -> str:
    kind = kind.lstrip("*")
    if kind.startswith("[]"):
        return "[]" + _type(kind[2:], structs, named)
    if kind.startswith("map["):
        return "{}" + _type(kind.partition("]")[2], structs, named)
    if kind in structs:
        return kind
    kind = named.get(kind, kind)
    if re.fullmatch(r"u?int\d*", kind):
        return "int"
    return "number" if kind.startswith("float") else _KNOWN.get(kind, "any")


def source_of(component: str, file: str, version: str) -> str:
    """A file of a component of a version of Kubernetes, such as 1.37.1."""
    module = f"k8s.io/{component}@v0.{version.partition('.')[2]}"
    with tempfile.TemporaryDirectory() as empty:
        told = subprocess.run(
            ["go", "mod", "download", "-json", module],
            cwd=empty,
            capture_output=True,
            check=True,
        )
    return (Path(json.loads(told.stdout)["Dir"]) / file).read_text()


def main() -> None:
    """Writes the files, and says so."""
    data = yaml.safe_load((VERSIONS / "data.yaml").read_text())
    for component, (root, file) in CONFIGURATIONS.items():
        listed = {
            minor: fields(source_of(component, file, it["patches"][-1]), root)
            for minor, it in data["kubernetes"].items()
        }
        target = VERSIONS / f"{component}.json"
        target.write_text(json.dumps(listed, indent=1) + "\n")
        print(target.name)


if __name__ == "__main__":
    main()
