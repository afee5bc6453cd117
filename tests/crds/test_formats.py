"""Texts of a certain form: each place where one stands answers a wrong one with its sentence."""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

import pytest
from tests.crds import asking, samples, schemas

from kok.api import KINDS
from kok.api.fields import QUANTITY_RULE
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube

pytestmark = pytest.mark.usefixtures("kok_crds")

WRONG = {
    "write a duration such as 90s, 10m, 1h30m or 720h, of at most six digits of hours": (
        "5 minutes",
        "-1h",
        "90",
        "",
        "9999999h",
        "9999999999999999999999999999999h",
    ),
    "write an amount such as 8Gi, 512Mi, 2 or 500m": ("8GB", "lots", "-1", "", "1e", "1 Gi"),
    "write a share from 1% to 99%, such as 80%": ("80", "0%", "8.%"),
    "write a JSON pointer such as /spec/replicas, with * for each entry of a list or map": (
        "spec/replicas",
        "/spec/a~2b",
        "/spec/a~",
        "",
    ),
    "write a version such as 1.4.0, or a range such as >=1.34 <1.37, ^1.2, ~1.4 or 1.x; || stands "
    "between alternatives": ("latest", "", ">=", "1.2 | 1.3"),
    "write a repository such as https://charts.example/stable or oci://registry.example/charts, "
    "without credentials; these go into a Secret": (
        "http://charts.example",
        "https://me:secret@charts.example",
        "registry.example/charts",
    ),
    "write the chart's name as the repository has it, such as traefik": ("Web", "", "../web"),
    "write lower-case letters, digits and dashes": ("Front", "front-", "a.b"),
    "write a reference such as registry.example/team/addon:1.2 or "
    "registry.example/team/addon@sha256:..., without oci://": (
        "oci://registry.example/addon",
        "addon",
        "registry.example/Addon",
        "registry.example/addon@sha256:0",
    ),
    "write a key of its data, such as values.yaml": ("a/b", "two words"),
    "write a CVE such as CVE-2026-12345": ("2026-12345", "CVE-26-1", "cve-2026-12345"),
    "write the name of a Cluster, or namespace and name as team-a/shop": (
        "Shop",
        "a/b/shop",
        "team-a/",
    ),
    "write the name of a Cluster of the same namespace, such as shop": (
        "Shop",
        "team-a/shop",
        "-a",
    ),
    "write the name of a namespace, or * for all of them": ("Team", "team-*", ""),
    "write lower-case letters, digits and dashes, with a letter or digit at both ends": (
        "W1",
        "w-",
        "w.1",
    ),
    "write a host name or an IP address, such as 192.0.2.21": ("ssh://192.0.2.21", "two words"),
    "write a host name or an IP address, such as api.shop.example, without https:// and port; a name "
    "has letters, digits, dots, dashes and underscores alone": (
        "https://api.shop.example",
        "api shop",
        "x@127.0.0.1",
        "api.shop.example:6443",
        "[::1]",
        "fe80::1%eth0",
        "b\u00fccher.example",
    ),
    "write a registry such as mirror.example:5000 or mirror.example/path, without https://": (
        "https://mirror.example",
        "mirror.example/",
        "two words",
    ),
    "write the fingerprint as `ssh-keygen -lf` prints it: SHA256: and 43 characters": (
        "SHA256:short",
        samples.FINGERPRINT.removeprefix("SHA256:"),
    ),
    "leave it out: KubeNodes write it, 16 hexadecimal digits": ("abc", "0123456789ABCDEF"),
    "write an address that starts with https:// or http://": ("artifacts.example", "ftp://x"),
    "write an address without a path, such as https://s3.example": (
        "s3.example",
        "https://s3.example/bucket",
    ),
    "write the bucket's name alone, such as etcd-backups": ("S3://etcd", "etcd/backups", "-ab"),
    "write folders without / at either end, such as site-a/etcd, in letters, digits, dots, "
    "dashes and underscores": ("/etcd", "site-a/", "a//b", "../etc", "a b"),
    "write the five fields of cron in UTC: minute, hour, day, month and weekday, such as 0 */6 * * *": (
        "hourly",
        "0 */6 * *",
        "0  6 * * *",
        "@daily",
    ),
    "write the ID of the cluster, as status.clusterID shows it": ("yes", "0x1f", "ABC"),
    "write an X25519 public key in base64, as `kok keypair` prints it": (
        "age1qqq",
        "A" * 44,
        "AAAA",
    ),
    "write hours of the day in UTC, such as 22:00-04:00": ("22-04", "24:00-04:00", "22:00"),
    "write the key as status.key of an EtcdBackup has it, such as "
    "team-a/shop-etcd/20260102T060000Z-one-1f0c2b3a.snapshot": (
        "/one.snapshot",
        "one.db",
        "../one.snapshot",
    ),
    "write namespace and name of the EtcdCluster that was backed up, such as team-a/shop-etcd": (
        "shop-etcd",
        "team-a/",
        "Team/etcd",
    ),
    "write a login name, such as ops": ("Ops", "ops;reboot"),
    "write a path without / in front, below the artifact address": ("/v1/tool", "a b"),
    "write 64 lower-case hexadecimal digits, as sha256sum prints them": ("abc", "A" * 64),
    "write an absolute path, such as /etc/tool.conf": ("etc/tool.conf", "/etc/a\nb", "/"),
    "write the name of a systemd service without .service": ("/tool", "two words", "tool."),
    "write permissions as a text of four octal digits, such as '0644'": ("644", "rw-", "0888"),
    "write an absolute path of two parts or more, such as /var/lib/tool": (
        "/var",
        "var/lib",
        "/a//b",
    ),
    "write a name or a shell pattern, without / and blanks": ("a/b", "a b", ""),
    "write the flag without dashes in front, such as event-ttl": ("--event-ttl", "eventTTL"),
    "write a domain such as cluster.local": ("cluster.local.", "Cluster.Local"),
    "write a version such as 1.4.0 or 2.0-rc.1, in lower-case letters, digits, dots and dashes": (
        "v 1",
        "1.0/2",
        "1.",
        "1.0+dfsg",
        "1.0-RC",
    ),
}
"""Wrong texts by the sentence that answers them."""

FORMATS = [rule for rule in schemas.rules() if rule.is_format]
CASES = [
    pytest.param(rule, text, id=f"{rule.kind}-{'.'.join(rule.path)}-{text}")
    for rule in FORMATS
    for text in WRONG.get(rule.message, ())
]


def test_every_format_has_wrong_texts() -> None:
    assert {rule.message for rule in FORMATS} == set(WRONG)


@pytest.mark.parametrize(("rule", "text"), CASES)
async def test_a_wrong_text_is_answered_with_what_to_write(
    kube: Kube, namespace: str, rule: schemas.Rule, text: str
) -> None:
    spec = _with(rule, text)
    found = await asking.refusals(kube, namespace, samples.manifest(rule.kind, spec))
    assert any(r.says(rule.message) for r in found), found


ODD = (
    "".join(
        c
        for c in map(chr, range(0x110000))
        if c.isspace() or ord(c) < 32 or unicodedata.category(c)[0] == "Z"
    )
    + "\x7f\x9f\u00e4\u0660\u200b\u2060\ufeff\U0001d7d8"
)
"""White space of any kind and control characters; a letter and digits beyond ASCII, and what shows
as nothing."""
FORMS = {rule.cel: rule for rule in FORMATS if rule.cel != QUANTITY_RULE}


@pytest.mark.parametrize("rule", FORMS.values(), ids=str)
async def test_what_is_stored_can_be_read(kube: Kube, namespace: str, rule: schemas.Rule) -> None:
    """Texts that the API server takes and operators do not would be objects that stand there and
    that nobody can read. The other way round is fine: rules may be younger than objects."""
    model = next(kind for kind in KINDS if kind.info.kind.kind == rule.kind)
    good = _found({"spec": next(s for s in samples.FULL[rule.kind] if _has(s, rule))}, rule.path)
    unread = []
    for char in ODD:
        for text in (f"{good[:2]}{char}{good[2:]}", f"{good}{char}"):
            manifest = samples.manifest(rule.kind, _with(rule, text))
            refused = await asking.refusals(kube, namespace, manifest)
            stored = not any(r.says(rule.message) for r in refused)
            try:
                model.parse({**manifest, "metadata": {"name": "x", **manifest["metadata"]}})
                read = True
            except Unreadable as error:
                read = "should match pattern" not in error.why
            if stored and not read:
                unread.append(text)
    assert unread == []


def _has(spec: dict[str, Any], rule: schemas.Rule) -> bool:
    return _put({"spec": copy.deepcopy(spec)}, rule.path, "")


def _found(value: Any, path: tuple[str, ...]) -> str:
    """The text of a sample at that place."""
    for step in path:
        value = (
            value[0]
            if step == schemas.ITEM
            else (next(iter(value.values())) if step == schemas.VALUE else value[step])
        )
    return str(value)


def _with(rule: schemas.Rule, text: str) -> dict[str, Any]:
    """The first full sample that has the place, with the text written there."""
    for sample in samples.FULL[rule.kind]:
        spec = copy.deepcopy(sample)
        if _put({"spec": spec}, rule.path, text):
            return spec
    raise AssertionError(f"no sample has {rule}")


def _put(value: Any, path: tuple[str, ...], text: str) -> bool:
    head, *rest = path
    if head == schemas.ITEM:
        head = 0 if value else None
    elif head == schemas.VALUE:
        head = next(iter(value), None)
    elif head not in value:
        head = None
    if head is None:
        return False
    if rest:
        return _put(value[head], tuple(rest), text)
    value[head] = text
    return True
