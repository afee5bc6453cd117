"""CustomResourceDefinitions from the models; `make crds` writes them to `crds/`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kok.api import KINDS
from kok.api.fields import RULES
from kok.api.meta import Column, KindInfo, Manifest, Resource
from kok.api.schema import structural

HEADER = "# Generated from the models in src/kok/api by `make crds`; do not edit.\n"


def crd(kind: type[Resource]) -> Manifest:
    """The CustomResourceDefinition of one kind."""
    info = kind.info
    where = info.kind
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": where.crd_name, "labels": {"app.kubernetes.io/part-of": "kok"}},
        "spec": {
            "group": where.group,
            "scope": "Namespaced",
            "names": {
                "kind": where.kind,
                "listKind": f"{where.kind}List",
                "plural": where.plural,
                "singular": where.kind.lower(),
                "shortNames": list(info.short_names),
                "categories": ["kok"],
            },
            "versions": [
                {
                    "name": where.version,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(c) for c in info.columns],
                    "subresources": _subresources(info),
                    "schema": {"openAPIV3Schema": _schema(kind)},
                }
            ],
        },
    }


def _schema(kind: type[Resource]) -> dict[str, Any]:
    fields = kind.model_fields
    extra = kind.model_config.get("json_schema_extra")
    described = " ".join((kind.__doc__ or "").split())
    out: dict[str, Any] = {
        "type": "object",
        "description": described,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(_model(fields["spec"])),
            "status": _unruled(structural(_model(fields["status"]))),
        },
        **(extra if isinstance(extra, dict) else {}),
    }
    if fields["spec"].is_required():
        out["required"] = ["spec"]
    else:
        out["properties"]["spec"]["default"] = {}
    return out


def _unruled(schema: Any) -> Any:
    """A schema without rules: these are for users, and a status is the operators' own.

    Parts of a spec that are recorded there were checked when they were written.
    """
    if isinstance(schema, dict):
        return {key: _unruled(value) for key, value in schema.items() if key != RULES}
    return [_unruled(value) for value in schema] if isinstance(schema, list) else schema


def _model(field: FieldInfo) -> type[BaseModel]:
    if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
        raise TypeError(f"spec and status have to be models, not {field.annotation}")
    return field.annotation


def _column(column: Column) -> dict[str, Any]:
    out: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.wide:
        out["priority"] = 1
    if column.description:
        out["description"] = column.description
    return out


def _subresources(info: KindInfo) -> dict[str, Any]:
    out: dict[str, Any] = {"status": {}}
    if info.scale is not None:
        out["scale"] = {
            "specReplicasPath": info.scale.spec,
            "statusReplicasPath": info.scale.status,
            "labelSelectorPath": info.scale.selector,
        }
    return out


def render(kind: type[Resource]) -> str:
    """The YAML file of one kind's CustomResourceDefinition."""
    return HEADER + yaml.safe_dump(crd(kind), sort_keys=False, width=100, allow_unicode=True)


def write(folder: Path) -> list[Path]:
    """Writes one file a kind into `folder`, removes files of kinds that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{k.info.kind.plural}.yaml": render(k) for k in KINDS}
    for stale in set(folder.glob("*.yaml")) - set(files):
        stale.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return sorted(files)


def main(argv: list[str] | None = None) -> int:
    """`python -m kok.api.crd FOLDER [FOLDER ...]`."""
    parser = argparse.ArgumentParser(description="Write the CRDs into folders.")
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args(argv).folders:
        for path in write(folder):
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
