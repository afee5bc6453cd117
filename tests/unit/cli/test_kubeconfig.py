"""`kok kubeconfig` prints what KOK wrote, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.unit.cli.things import (
    PATH,
    Run,
    admins,
    cluster,
    condition,
    lay,
)
from tests.unit.fakeapi import FakeApi


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]", "api_1.shop-2.example"])
async def test_the_kubeconfig_of_a_cluster_is_printed(api: FakeApi, run: Run, host: str) -> None:
    text = admins(f"https://{host}:31443")
    lay(api, text)
    assert await run("kubeconfig", "demo") == (0, text, "")


MORE: dict[str, Callable[[Any], object]] = {
    "a program": lambda c: c["users"][0]["user"].update(exec={"command": "/opt/x"}),
    "a proxy": lambda c: c["clusters"][0]["cluster"].update({"proxy-url": "http://192.0.2.9"}),
    "no check": lambda c: c["clusters"][0]["cluster"].update({"insecure-skip-tls-verify": True}),
    "another name": lambda c: c["clusters"][0]["cluster"].update({"tls-server-name": "x"}),
    "a file": lambda c: c["users"][0]["user"].update({"client-key": "/root/.ssh/id"}),
    "a token": lambda c: c["users"][0]["user"].update({"token": "t", "tokenFile": "/etc/shadow"}),
    "a context": lambda c: c["contexts"].append({"name": "prod", "context": {"user": "x"}}),
    "a namespace": lambda c: c["contexts"][0]["context"].update({"namespace": "kube-system"}),
    "an extension": lambda c: c.update({"preferences": {"colors": True}, "extensions": []}),
}


@pytest.mark.parametrize("what", MORE)
async def test_of_a_kubeconfig_nothing_is_printed_but_what_kok_puts_into_one(
    api: FakeApi, run: Run, what: str
) -> None:
    text = admins("https://192.0.2.1:31443")
    changed = yaml.safe_load(text)
    MORE[what](changed)
    lay(api, yaml.safe_dump(changed))
    assert await run("kubeconfig", "demo") == (0, text, "")


OTHER: dict[str, tuple[Callable[[Any], object], str]] = {
    "only a program": (
        lambda c: c["users"][0].update(user={"exec": {"command": "/opt/x"}}),
        "neither a client certificate nor a token",
    ),
    "only a file": (
        lambda c: c["users"][0].update(user={"tokenFile": "/etc/shadow"}),
        "no client certificate",
    ),
    "plain http": (
        lambda c: c["clusters"][0]["cluster"].update(server="http://192.0.2.1"),
        "not https://host:port",
    ),
    "an escape sequence": (
        lambda c: c["clusters"][0]["cluster"].update(server="https://x/\x1b[2J"),
        "not https://host:port",
    ),
    "no certificates": (
        lambda c: c["clusters"][0]["cluster"].update({"certificate-authority-data": "eA=="}),
        "not a PEM certificate",
    ),
    "nothing at all": (lambda c: c.clear(), "names no context"),
    "aliases": (
        lambda c: c.update(extensions=[c["users"], c["users"]]),
        "has YAML aliases",
    ),
}


@pytest.mark.parametrize("what", OTHER)
async def test_what_is_no_kubeconfig_of_koks_is_refused(api: FakeApi, run: Run, what: str) -> None:
    change, sentence = OTHER[what]
    changed = yaml.safe_load(admins("https://192.0.2.1:31443"))
    change(changed)
    lay(api, yaml.safe_dump(changed))
    code, out, err = await run("kubeconfig", "demo")
    assert (code, out) == (1, "")
    assert err.startswith("kok: Secret ns/demo-kubeconfig is not what KOK wrote: ")
    assert sentence in err
    assert "/opt/x" not in err


async def test_a_secret_that_is_not_the_clusters_own_is_refused(api: FakeApi, run: Run) -> None:
    lay(api, admins("https://192.0.2.1:31443"), own=False)
    code, out, err = await run("kubeconfig", "demo")
    assert (code, out) == (1, "")
    assert "does not belong to Cluster ns/demo" in err
    api.drop(PATH.format("ns"))
    assert "there is no Cluster demo" in (await run("kubeconfig", "demo"))[2]


async def test_a_cluster_without_kubeconfig_says_why(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd is starting")))
    code, out, err = await run("kubeconfig", "demo")
    assert (code, out) == (1, "")
    assert err == "kok: Cluster ns/demo has no kubeconfig yet: etcd is starting\n"


async def test_a_cluster_that_cannot_be_read_is_told(api: FakeApi, run: Run) -> None:
    lay(api, admins("https://192.0.2.1:31443"))
    api.objects[PATH.format("ns")]["spec"]["version"] = ["1.37.1"]
    code, out, err = await run("kubeconfig", "demo")
    assert (code, out) == (1, "")
    assert err.startswith("kok: Cluster ns/demo cannot be read: spec.version: Input should be")


async def test_a_cluster_that_does_not_exist_is_told(api: FakeApi, run: Run) -> None:
    code, _, err = await run("kubeconfig", "demo", "-n", "other")
    assert code == 1
    assert err == "kok: there is no Cluster demo in namespace other; name another with -n\n"
