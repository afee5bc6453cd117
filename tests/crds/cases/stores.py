"""Mistakes about stores of backups, and about where a cluster's data comes from."""

from __future__ import annotations

from collections.abc import Callable

from tests.crds.cases.case import Case, Spec, named, of
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


_NOTES = "write names such as note or example.com/note"
_KEYS_SEALED = "keys are kept sealed only: write keys.recipient, or encryption"
_POLICIES: tuple[tuple[str, str, Callable[[Spec], Spec]], ...] = (
    ("EtcdCluster", "spec", lambda spec: spec),
    ("Cluster", "spec.etcd", lambda spec: {"version": "1.37.1", "etcd": spec}),
)
"""Kinds with a policy of backups, where it stands, and a spec with it."""
LABELS = (
    "write names such as tier or example.com/tier, and values of at most 63 letters, digits, "
    "dashes, dots and underscores"
)


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


def _workers() -> tuple[Case, ...]:
    """The rules about pods of backups, and about the keys in them, wherever they stand."""
    bad = (
        ("labels", LABELS, {"labels": {"tier": "web server"}}),
        ("annotations", _NOTES, {"annotations": {"a b": "c"}}),
    )
    store = {"store": _VOLUME}
    secrets = {"recipient": f"{'A' * 43}=", "secrets": {"The CA": "shop-ca"}}
    found: list[Case] = []
    for part, sentence, worker in bad:
        there = {"worker": worker}
        found += [
            of("EtcdBackup", f"spec.worker.{part}", sentence, there),
            of("EtcdRestore", f"spec.worker.{part}", sentence, there),
        ]
        for kind, begin, wrap in _POLICIES:
            policy = wrap({"backup": {**store, **there}})
            source = wrap({"restoreFrom": {"backup": "one", **there}})
            found += [
                of(kind, f"{begin}.backup.worker.{part}", sentence, policy),
                of(kind, f"{begin}.restoreFrom.worker.{part}", sentence, source),
            ]
    for kind, begin, wrap in _POLICIES:
        found += [
            of(kind, f"{begin}.backup", _KEYS_SEALED, wrap({"backup": {**store, "keys": {}}})),
            of(
                kind,
                f"{begin}.backup.keys.secrets",
                "write short names such as ca, in lower-case letters, digits and dashes",
                wrap({"backup": {**store, "keys": secrets}}),
            ),
        ]
    return tuple(found)


STORES = (
    *_sources(),
    *_open_stores(),
    *_workers(),
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
