"""Mistakes about stores of backups, and about where a cluster's data comes from."""

from __future__ import annotations

from collections.abc import Callable

from tests.crds.case import Case, Spec, named, of
from tests.crds.samples import MINIMAL

_FIXED = "of an EtcdBackup cannot be changed; create another EtcdBackup"
_BUCKET = {"bucket": "etcd-backups", "secret": "s3"}
_VOLUME = {"volume": {"claim": "backups"}}
_AT = {"store": _VOLUME, "key": "a/b/one.snapshot"}
_KEPT = "cannot be changed; create another EtcdRestore, or another EtcdCluster"
_SEALED = (
    "a store at an http:// address needs encryption, since everybody on the way could read and "
    "change backups; name the Secret of its keys in encryption, or write an https:// address"
)
_ONE_SOURCE = (
    "write either backup, the name of an EtcdBackup, or store with one of key and newestOf"
)


_PLACES: tuple[tuple[str, str, Callable[[Spec], Spec]], ...] = (
    ("EtcdBackup", "spec.store", lambda store: {"store": store}),
    ("EtcdCluster", "spec.backup.store", lambda store: {"backup": {"store": store}}),
    (
        "EtcdRestore",
        "spec.store",
        lambda store: {"backup": "", "store": store, "newestOf": "a/b"},
    ),
    (
        "EtcdCluster",
        "spec.restoreFrom.store",
        lambda store: {"restoreFrom": {"store": store, "newestOf": "a/b"}},
    ),
    (
        "Cluster",
        "spec.etcd.restoreFrom.store",
        lambda store: {"etcd": {"restoreFrom": {"store": store, "newestOf": "a/b"}}},
    ),
    (
        "Cluster",
        "spec.etcd.backup.store",
        lambda store: {"etcd": {"backup": {"store": store}}},
    ),
)
"""Where a store stands: kind, field, and a spec with that store."""


def _restoring(kind: str, source: Spec) -> Spec:
    if kind == "EtcdRestore":
        return {"etcdCluster": "shop-etcd", **source}
    if kind == "Cluster":
        return {"version": "1.37.1", "etcd": {"restoreFrom": source}}
    return {"restoreFrom": source}


def _sources() -> tuple[Case, ...]:
    """The rules of where data comes from, which two kinds share."""
    found: list[Case] = []
    for kind, field in (
        ("EtcdRestore", "spec"),
        ("EtcdCluster", "spec.restoreFrom"),
        ("Cluster", "spec.etcd.restoreFrom"),
    ):
        found += [
            Case(kind, field, _ONE_SOURCE, _restoring(kind, wrong))
            for wrong in (
                {},
                {"backup": "one", **_AT},
                {"store": _VOLUME},
                {**_AT, "newestOf": "team-a/shop"},
                {"backup": "one", "key": "a/b/one.snapshot"},
            )
        ]
        found += [
            Case(
                kind,
                f"{field}.{part}" if part else field,
                f"{part or 'store and encryption'} {_KEPT}",
                _restoring(kind, new),
                _restoring(kind, old),
            )
            for part, old, new in (
                ("backup", {"backup": "one"}, {"backup": "two"}),
                ("store", _AT, {**_AT, "store": {"s3": _BUCKET}}),
                ("key", _AT, {**_AT, "key": "a/b/two.snapshot"}),
                (
                    "newestOf",
                    {"store": _VOLUME, "newestOf": "a/b"},
                    {"store": _VOLUME, "newestOf": "a/c"},
                ),
                (
                    "encryption",
                    {**_AT, "encryption": {"secret": "old"}},
                    {**_AT, "encryption": {"secret": "new"}},
                ),
                ("", _AT, {**_AT, "encryption": {"secret": "new"}}),
            )
        ]
    return tuple(found)


def _open_stores() -> tuple[Case, ...]:
    """Plain HTTP without encryption, wherever a store can stand."""
    plain = {"s3": {**_BUCKET, "endpoint": "http://s3.example:9000"}}
    return tuple(
        Case(kind, field.rpartition(".")[0], _SEALED, {**(MINIMAL[kind] or {}), **inside(plain)})
        for kind, field, inside in _PLACES
    )


STORES = (
    *_sources(),
    *_open_stores(),
    named(
        "EtcdRestore", "a" * 61, "metadata.name is longer than 60 characters; write a shorter one"
    ),
    Case(
        "EtcdRestore",
        "spec.etcdCluster",
        f"etcdCluster {_KEPT}",
        {"etcdCluster": "other", "backup": "one"},
        {"etcdCluster": "shop-etcd", "backup": "one"},
    ),
    Case(
        "EtcdCluster",
        "spec",
        "spec.restoreFrom is for a new EtcdCluster; to restore this one, create an EtcdRestore",
        {"restoreFrom": {"backup": "one"}},
        {},
    ),
    named(
        "EtcdBackup", "a" * 61, "metadata.name is longer than 60 characters; write a shorter one"
    ),
    *(
        of("EtcdBackup", field, f"{what} {_FIXED}", changed, was=was)
        for field, what, changed, was in (
            ("spec.etcdCluster", "etcdCluster", {"etcdCluster": "other"}, {}),
            ("spec", "store and encryption", {"store": {"s3": _BUCKET}}, {}),
            (
                "spec.store",
                "store",
                {"store": {"volume": {"claim": "backups"}}},
                {"store": {"s3": _BUCKET}},
            ),
            (
                "spec.encryption",
                "encryption",
                {"encryption": {"secret": "new"}},
                {"encryption": {"secret": "old"}},
            ),
        )
    ),
    *(
        of(kind, field, "write exactly one of s3 and volume", inside(wrong))
        for kind, field, inside in _PLACES
        for wrong in ({}, {"s3": _BUCKET, "volume": {"claim": "backups"}})
    ),
    *(
        of(
            kind,
            f"{field}.s3.ca",
            "write exactly one of secret and configMap, the name of what holds the CA",
            inside({"s3": {**_BUCKET, "ca": wrong}}),
        )
        for kind, field, inside in _PLACES
        for wrong in ({}, {"secret": "a", "configMap": "b"})
    ),
)
