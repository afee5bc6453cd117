"""The `kok` command as a user sees it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from rich.console import Console
from tests.unit.csrs import csr, node
from tests.unit.fakeapi import FakeApi, refusal
from typer.testing import CliRunner, Result

from kok import pki
from kok.api import KINDS, Cluster
from kok.cli.main import app
from kok.cli.query import row_of
from kok.cli.table import age, table
from kok.kube.client import Kube
from kok.kube.limits import META
from kok.kube.ownership import owned
from kok.operators.etcd.worker import sealing

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def kok(*arguments: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(app, list(arguments))


def test_the_version_is_printed() -> None:
    result = kok("version")
    assert result.exit_code == 0
    assert result.output.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say which operator to run"),
        (("etcd", "--all"), "say which operator to run"),
        (("ectd",), "there is no operator 'ectd'; write one of etcd, cluster, machine"),
    ],
)
def test_an_operator_that_does_not_exist_is_refused(
    arguments: tuple[str, ...], sentence: str
) -> None:
    result = kok("operator", *arguments)
    assert result.exit_code == 1
    assert sentence in result.output


def test_without_a_cluster_a_sentence_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = kok("kubeconfig", "demo")
    assert result.exit_code == 1
    assert "set KUBECONFIG" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["KOK_PASSES", "KOK_BUSINESS_TIMEOUT", "KOK_SURVEY_EVERY"])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "many")
    result = kok("operator", "--all")
    assert result.exit_code == 1
    assert f"kok: wrong settings in the environment: {name}: " in result.output
    assert "Traceback" not in result.output


def test_the_command_starts_without_what_operators_need() -> None:
    code = "import sys, kok.cli.main; print(any(m in sys.modules for m in ('kopf', 'pydantic_settings')))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """An API server in memory."""
    server = await FakeApi().start()
    yield server
    await server.close()


Run = Callable[..., Any]


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against the API server in memory: exit code, output, errors."""
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps(api.kubeconfig()))
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv("COLUMNS", "200")

    async def start(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(kok, *arguments)
        return result.exit_code, result.stdout, result.stderr

    return start


def cluster(namespace: str = "ns", **status: Any) -> dict[str, Any]:
    """A Cluster."""
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {
            "name": "demo",
            "namespace": namespace,
            "creationTimestamp": "2026-01-01T22:00:00Z",
        },
        "status": status,
    }


def condition(status: str, reason: str, message: str = "") -> dict[str, Any]:
    """A status with `Ready`."""
    return {
        "phase": "Creating",
        "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": message}],
    }


PATH = "/apis/kok.dev/v1alpha1/namespaces/{}/clusters/demo"


SECRET = "/api/v1/namespaces/ns/secrets/demo-kubeconfig"
CA = pki.new_ca("demo-ca", datetime.now(UTC))


def admins(server: str) -> str:
    """The kubeconfig that KOK writes."""
    leaf = pki.issue(CA, pki.LeafSpec("kubernetes-admin"), datetime.now(UTC))
    return pki.kubeconfig("ns/demo", server, CA.cert_pem, "ns/demo", leaf, context_name="ns/demo")


def lay(api: FakeApi, text: str, *, own: bool = True) -> None:
    """A Cluster, and a kubeconfig in its Secret."""
    made = api.put(PATH.format("ns"), {**cluster(), "spec": {"version": "1.37.1"}})
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "demo-kubeconfig", "namespace": "ns"},
        "data": pki.encode({"kubeconfig": text}),
    }
    api.put(SECRET, owned(secret, Cluster.parse(made)) if own else secret)


async def test_the_kubeconfig_of_a_cluster_is_printed(api: FakeApi, run: Run) -> None:
    text = admins("https://192.0.2.1:31443")
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


async def test_the_status_shows_objects_and_what_is_wrong(api: FakeApi, run: Run) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd [x] is starting")))
    api.put(PATH.format("b"), cluster("b", **condition("True", "Serving", "all well")))

    _, one, _ = await run("status")
    _, every, _ = await run("status", "-A")

    assert [line.split()[:3] for line in one.splitlines()[1:]] == [["Cluster", "ns", "demo"]]
    assert "NoEtcd: etcd [x] is starting" in one
    assert {line.split()[1] for line in every.splitlines()[1:]} == {"ns", "b"}
    assert "all well" not in every


async def test_what_one_tenant_stores_hides_nobody_elses_objects(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", "etcd is starting")))
    addons = "/apis/kok.dev/v1alpha1/namespaces/bad/addons/a{}"
    values = {"x": [[]] * 20_000}
    for number in range(50):
        path = addons.format(number)
        api.put(path, {**cluster("bad"), "kind": "Addon", "spec": {"values": values}})
    # Of what is large there little is shown.
    code, out, _ = await run("status", "-A")
    assert (code, len(out.splitlines())) == (0, 52)
    # What is too much all the same is said, and is of one kind.
    limits = replace(META, everywhere=5_000)
    monkeypatch.setattr("kok.cli.query.Kube", partial(Kube, limits=limits))
    code, out, _ = await run("status", "-A")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "etcd is starting" in out
    (line,) = [line for line in out.splitlines() if line.startswith("Addon")]
    assert "TooLarge: " in line
    assert "answered with a list of" in line


async def test_the_status_knows_every_kind_that_has_something_to_tell(
    api: FakeApi, run: Run
) -> None:
    for kind in KINDS:
        info = kind.info.kind
        path = f"/apis/kok.dev/v1alpha1/namespaces/ns/{info.plural}/one"
        api.put(path, {**cluster(), "kind": info.kind})

    _, out, _ = await run("status")

    shown = [line.split()[0] for line in out.splitlines()[1:]]
    assert shown[0] == "Cluster"
    assert set(shown) == {k.info.kind.kind for k in KINDS} - {"Component"}


async def test_nothing_that_a_stranger_says_rules_the_terminal(
    api: FakeApi, joined: FakeApi, run: Run
) -> None:
    said = "\x1b]0;x\x07\x9b2J\u202eevil\nCluster ns other"
    api.put(PATH.format("ns"), cluster(**condition("False", "NoEtcd", said)))
    api.drop(SECRET)
    entry = {
        **dict.fromkeys(("namespace", "machine", "cluster", "address"), "x"),
        "since": "2026-01-01T22:00:00Z",
        "why": said,
        "left": said,
    }
    api.put(LIST, {"data": {"uid-1": json.dumps(entry)}})
    shown = "?]0;x??2J?evil"

    _, status, _ = await run("status")
    _, doctor, _ = await run("doctor")
    _, _, refused = await run("kubeconfig", "demo")
    lay(api, admins(joined.address))
    joined.script("GET", "/nodes", lambda _: answer(422, said))
    _, _, business = await run("node", "approve", "demo", "w7")

    for text in (status, doctor, refused, business):
        assert shown in text
        assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert len(status.splitlines()) == len(doctor.splitlines()) == 2


async def answer(status: int, message: str) -> web.StreamResponse:
    """What an API server refuses with."""
    return refusal(status, "Invalid", message)


async def test_a_narrow_terminal_hides_nothing(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    why = "EtcdCluster ns/demo-etcd: demo-etcd-0: waits for its volume"
    api.put(PATH.format("ns"), cluster(**condition("False", "WaitingForEtcd", why)))

    _, out, _ = await run("status")

    assert out.splitlines()[1].endswith(f"WaitingForEtcd: {why}")


async def test_nothing_found_is_said(run: Run) -> None:
    assert (await run("status"))[1] == "no objects of KOK found; look into all namespaces with -A\n"


LIST = "/api/v1/namespaces/kok-system/configmaps/kok-abandoned-hosts"


async def test_the_doctor_lists_hosts_that_were_left_uncleaned_whatever_became_of_their_namespace(
    api: FakeApi, run: Run
) -> None:
    entry = {
        "namespace": "gone",
        "machine": "workers-w1",
        "cluster": "demo",
        "address": "192.0.2.21",
        "since": "2026-01-01T22:00:00Z",
        "why": "host 192.0.2.21 does not answer [over SSH]",
        "left": "stop pods, remove /var/lib/kok",
    }
    api.put(LIST, {"data": {"uid-1": json.dumps(entry), "odd": "not of ours"}})
    code, out, _ = await run("doctor")
    assert code == 0
    (line,) = out.splitlines()[1:]
    assert line.split()[:3] == ["192.0.2.21", "gone/workers-w1", "gone/demo"]
    assert "does not answer [over SSH]" in line
    assert line.endswith("stop pods, remove /var/lib/kok")
    assert await run("doctor", "--cleaned", "uid-1") == (0, "", "")
    assert await run("doctor") == (0, "no host was left without a clean-up\n", "")
    code, _, err = await run("doctor", "--cleaned", "uid-1")
    assert (code, err) == (1, "kok: no abandoned host has the ID uid-1; kok doctor lists them\n")


async def test_the_doctor_says_where_it_looked(run: Run) -> None:
    code, _, err = await run("doctor", "--operators", "elsewhere")
    assert code == 1
    assert err == (
        "kok: there is no ConfigMap kok-abandoned-hosts in namespace elsewhere; say with "
        "--operators where the operators of KOK run\n"
    )


CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


@pytest.fixture
async def joined(api: FakeApi, tmp_path: Path) -> AsyncIterator[FakeApi]:
    """The API server of a Cluster whose nodes `w7` and `w8` ask for certificates."""
    leaf = pki.issue(
        CA,
        pki.LeafSpec("x", ip_addresses=["127.0.0.1"], usages=pki.Usage.SERVER),
        datetime.now(UTC),
    )
    served = tmp_path / "served.pem"
    served.write_bytes(leaf.cert_pem + leaf.key_pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(served)
    business = await FakeApi().start(tls)
    lay(api, admins(business.address))
    api.put("/api/v1/nodes/meta-1", node("meta-1", "203.0.113.1"))
    business.put("/api/v1/nodes/w7", node("w7", "192.0.2.77", "203.0.113.1"))
    business.put("/api/v1/nodes/w8", node("w8", "192.0.2.78"))
    business.put(f"{CSRS}/csr-w7", csr("w7", hosts=["w7"], addresses=["192.0.2.77"]))
    business.put(f"{CSRS}/csr-w8", csr("w8", hosts=["w8"]))
    yield business
    await business.close()


def approved(api: FakeApi, name: str) -> bool:
    """Whether a request is."""
    status = api.objects[f"{CSRS}/{name}"].get("status") or {}
    return [c["type"] for c in status.get("conditions") or ()] == ["Approved"]


async def test_a_foreign_nodes_certificate_is_approved(joined: FakeApi, run: Run) -> None:
    said = await run("node", "approve", "demo", "w7")
    assert said == (0, "CertificateSigningRequest csr-w7 of Node w7 is approved\n", "")
    assert approved(joined, "csr-w7")
    assert not approved(joined, "csr-w8")
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err == "kok: Node w7 of Cluster ns/demo waits for no serving certificate\n"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("192.0.2.78", "another Node's"),
        ("203.0.113.1", "an address of the meta cluster's nodes"),
    ],
)
async def test_what_is_not_the_nodes_own_is_not_approved(
    joined: FakeApi, run: Run, address: str, what: str
) -> None:
    joined.put(f"{CSRS}/csr-w7", csr("w7", hosts=["w7"], addresses=[address]))
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err == (
        "kok: CertificateSigningRequest csr-w7 of Node w7 is not approved: it names "
        f"{address}, which is {what}; no node may have it\n"
    )
    assert not approved(joined, "csr-w7")


async def test_a_machines_node_is_left_to_the_operator(
    api: FakeApi, joined: FakeApi, run: Run
) -> None:
    spec = {"cluster": "demo", "node": "w7", "address": "192.0.2.77"}
    machine = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Machine",
        "metadata": {"name": "pool-w7", "namespace": "ns"},
        "spec": {
            **spec,
            "ssh": {"user": "ops", "secret": "ops-ssh"},
            "artifacts": {"baseURL": "http://artifacts.example"},
            "components": [],
        },
    }
    api.put("/apis/kok.dev/v1alpha1/namespaces/ns/machines/pool-w7", machine)
    code, _, err = await run("node", "approve", "demo", "w7")
    assert code == 1
    assert err.startswith("kok: Node w7 belongs to Machine ns/pool-w7; its condition ")
    assert not approved(joined, "csr-w7")


def test_a_row_of_an_object_without_status() -> None:
    row = row_of(cluster(), NOW)
    assert (row.ready, row.phase, row.age) == (None, "", 7200.0)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table([row]))
    assert shown.get().splitlines()[1].split() == ["Cluster", "ns", "demo", "-", "2h"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (61, "1m"), (7300, "2h"), (2e6, "23d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_key_pair_is_one() -> None:
    text = kok("keypair").stdout
    private, public = (line.partition(": ")[2] for line in text.splitlines())
    content = {"ca": {"tls.key": b"secret"}}
    assert sealing.unseal(sealing.seal(content, public), [], private) == content
