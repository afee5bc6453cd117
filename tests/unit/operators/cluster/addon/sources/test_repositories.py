"""Repositories: what they may do wrong, and that none of it costs what is applied, or a secret."""

from __future__ import annotations

import json

import pytest
from tests.unit.operators.cluster.addon.sources.conftest import Workplace
from tests.unit.operators.cluster.addon.sources.repositories import CHART, chart, packed, sha256

from kok.operators.cluster.addon.sources.finding import Archives
from kok.operators.cluster.addon.sources.registry import login_of
from kok.operators.cluster.addon.sources.repository import choose
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait
from kok.runtime.policy import Policies

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


async def refused(workplace: Workplace, source: dict[str, object], **spec: object) -> ReconcileStop:
    """Why there is no bundle."""
    with pytest.raises(ReconcileStop) as caught:
        await workplace.bundle(source, **spec)
    return caught.value


async def test_a_chart_in_a_registry_is_the_same_chart(workplace: Workplace) -> None:
    for version in ("1.2.0", "1.3.0+build.1", "2.0.0"):
        workplace.server.add(chart(version), version)
    repository = f"oci://{workplace.server.host}/charts"
    made = await workplace.bundle(workplace.chart(repository=repository, version="^1.2"))
    assert made.version == "1.3.0+build.1"
    assert [m["metadata"]["name"] for m in made.manifests] == ["mine-config"]
    assert made.source is not None
    assert made.source.digest == sha256(workplace.server.manifests["charts/demo:1.3.0_build.1"])
    exact = await workplace.bundle(workplace.chart(repository=repository, version="1.2.0"))
    assert exact.version == "1.2.0"


async def test_an_artifact_holds_manifests_templates_defaults_and_a_schema(
    workplace: Workplace,
) -> None:
    schema = {"properties": {"size": {"type": "integer"}}, "additionalProperties": False}
    files = {
        "./plain.yaml": CONFIG % "plain" + 'data: {text: "{{ not ours }}"}',
        "./of/template.yaml.j2": CONFIG % "{{ cluster.name }}-{{ values.size }}",
        "values.yaml": "size: 3",
        "values.schema.json": json.dumps(schema),
        "README.md": "# Read me",
    }
    digest = workplace.server.push("team/addon", "1.2", packed(files))
    made = await workplace.bundle(workplace.artifact("team/addon:1.2"))
    assert {m["metadata"]["name"] for m in made.manifests} == {"plain", "shop-3"}
    assert made.version == "1.2"
    assert made.source is not None
    assert made.source.digest == digest
    stop = await refused(workplace, workplace.artifact("team/addon:1.2"), values={"sise": 1})
    assert stop.reason == "ValuesInvalid"
    assert "'sise' was unexpected" in stop.message


async def test_what_a_tag_stood_for_stays_until_the_source_is_another(workplace: Workplace) -> None:
    server = workplace.server
    old = server.push("team/addon", "1", packed({"a.yaml": CONFIG % "old"}))
    source = workplace.artifact("team/addon:1")
    assert (await workplace.bundle(source)).manifests[0]["metadata"]["name"] == "old"
    server.push("team/addon", "1", packed({"a.yaml": CONFIG % "new"}))
    await workplace.restart()
    assert (await workplace.bundle(source)).manifests[0]["metadata"]["name"] == "old"
    by_digest = await workplace.bundle(workplace.artifact(f"team/addon@{old}"))
    assert by_digest.manifests[0]["metadata"]["name"] == "old"
    assert by_digest.version == old[:19]


async def test_undefined_values_of_an_artifact_are_told_with_their_file(
    workplace: Workplace,
) -> None:
    files = {"web/app.yaml.j2": CONFIG % "{{ values.nothing }}"}
    workplace.server.push("team/addon", "1", packed(files))
    stop = await refused(workplace, workplace.artifact("team/addon:1"))
    assert stop.reason == "TemplateInvalid"
    assert "team/addon:1, web/app.yaml.j2" in stop.message
    assert "has no attribute 'nothing'" in stop.message


async def test_a_registry_that_is_down_is_told_and_asked_again(workplace: Workplace) -> None:
    workplace.server.down = True
    for source in (workplace.chart(), workplace.artifact("team/addon:1")):
        stop = await refused(workplace, source)
        assert isinstance(stop, Wait)
        assert stop.reason == "SourceUnreachable"
        assert stop.after <= 60
        assert "answers with status 503" in stop.message
        # What an address answers that only the operator can reach is nothing for a tenant.
        assert "secret words" not in stop.message
    workplace.server.down = False
    workplace.server.add(chart())
    assert await workplace.bundle(workplace.chart())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chart": "none"}, "it has no chart none; correct spec.source.helm"),
        ({"version": "3.x"}, "its chart demo has no version 3.x; it has 1.2.0"),
    ],
)
async def test_a_chart_that_does_not_exist_is_told(
    workplace: Workplace, change: dict[str, str], words: str
) -> None:
    workplace.server.add(chart())
    stop = await refused(workplace, workplace.chart(**change))
    assert (stop.reason, isinstance(stop, Wait)) == ("SourceMissing", True)
    assert words in stop.message


async def test_what_does_not_exist_in_a_registry_is_told(workplace: Workplace) -> None:
    repository = f"oci://{workplace.server.host}/charts"
    stop = await refused(workplace, workplace.chart(repository=repository))
    assert stop.reason == "SourceMissing"
    assert "/v2/charts/demo/manifests/1.2.0 does not exist (status 404)" in stop.message
    stop = await refused(workplace, workplace.chart(repository=repository, version="^1"))
    assert stop.reason == "SourceMissing"
    assert "has no version ^1, but none at all" in stop.message


async def test_a_chart_that_is_huge_is_not_fetched_to_its_end(workplace: Workplace) -> None:
    workplace.server.add(b"\0" * (9 * 2**20))
    stop = await refused(workplace, workplace.chart())
    assert stop.reason == "SourceInvalid"
    assert "is larger than 8 MiB" in stop.message


async def test_a_version_whose_content_was_changed_is_not_taken(workplace: Workplace) -> None:
    workplace.server.add(chart())
    await workplace.bundle(workplace.chart())
    workplace.server.add(chart(**{"NOTES.txt": "another"}))
    await workplace.restart()
    stop = await refused(workplace, workplace.chart())
    assert stop.reason == "SourceInvalid"
    assert "is not what it was when version 1.2.0 was looked up" in stop.message


async def test_a_signature_of_an_address_is_told_nobody_and_may_expire(
    workplace: Workplace,
) -> None:
    workplace.server.signature = "s3cr3t"
    workplace.server.add(chart())
    first = await workplace.bundle(workplace.chart())
    assert first.source is not None
    assert first.source.url == f"{workplace.server.url}/demo-1.2.0.tgz"
    workplace.server.signature = "an0ther"
    await workplace.restart()
    assert (await workplace.bundle(workplace.chart())).manifests == first.manifests
    workplace.server.add(chart(**{"NOTES.txt": "another"}))
    await workplace.restart()
    stop = await refused(workplace, workplace.chart())
    assert "is not what it was when version 1.2.0 was looked up" in stop.message
    assert "an0ther" not in stop.message


@pytest.mark.parametrize(
    "unsigned", [(200, b"please log in"), (400, b""), (401, b""), (404, b""), (409, b"")]
)
async def test_whatever_an_address_answers_without_its_signature_the_chart_is_fetched(
    workplace: Workplace, unsigned: tuple[int, bytes]
) -> None:
    workplace.server.unsigned = unsigned
    workplace.server.signature = "s3cr3t"
    workplace.server.add(chart())
    assert await workplace.bundle(workplace.chart())


async def test_a_page_for_a_login_is_not_what_an_index_without_digests_means(
    workplace: Workplace,
) -> None:
    workplace.server.unsigned = (200, b"please log in")
    workplace.server.signature = "s3cr3t"
    workplace.server.add(chart())
    entry = {"version": "1.2.0", "urls": ["demo-1.2.0.tgz?sig=s3cr3t"]}
    workplace.server.index = json.dumps({"entries": {"demo": [entry]}}).encode()
    made = await workplace.bundle(workplace.chart())
    assert made.source is not None
    assert made.source.digest == sha256(chart())


async def test_a_signature_that_is_on_record_is_taken_from_there(workplace: Workplace) -> None:
    workplace.server.signature = "s3cr3t"
    workplace.server.add(chart())
    await workplace.bundle(workplace.chart())
    workplace.status["source"]["url"] += "?sig=s3cr3t"
    workplace.server.signature = "an0ther"
    await workplace.restart()
    assert await workplace.bundle(workplace.chart())
    assert workplace.status["source"]["url"] == f"{workplace.server.url}/demo-1.2.0.tgz"


@pytest.mark.parametrize("user", ["s3cr3t", "me:s3cr3t"])
async def test_a_user_in_an_address_is_used_and_told_nobody(
    workplace: Workplace, user: str
) -> None:
    server = workplace.server
    server.add(chart())
    address = f"https://{user}@{server.host}/charts/demo-1.2.0.tgz"
    entry = {"version": "1.2.0", "urls": [address], "digest": sha256(chart())}
    server.index = json.dumps({"entries": {"demo": [entry]}}).encode()
    name, _, password = user.partition(":")
    server.users = {"/charts/demo-1.2.0.tgz": (name, password)}
    auths = {"auths": {server.host: {"username": "other", "password": "word"}}}
    workplace.put("Secret", "login", **{".dockerconfigjson": json.dumps(auths)})
    source = workplace.chart(secret="login")
    assert await workplace.bundle(source)
    assert "s3cr3t" not in json.dumps(workplace.status)
    server.users = {"/charts/demo-1.2.0.tgz": ("nobody", "")}
    await workplace.restart()
    stop = await refused(workplace, source)
    assert f"{server.url}/demo-1.2.0.tgz is refused" in stop.message
    assert "s3cr3t" not in stop.message


async def test_an_index_without_digests_has_the_first_content_recorded(
    workplace: Workplace,
) -> None:
    content = chart()
    workplace.server.add(content)
    entry = {"version": "1.2.0", "urls": [f"{workplace.server.url}/demo-1.2.0.tgz"]}
    workplace.server.index = json.dumps({"entries": {"demo": [entry]}}).encode()
    made = await workplace.bundle(workplace.chart())
    assert made.source is not None
    assert made.source.digest == sha256(content)


@pytest.mark.parametrize("kind", ["basic", "docker"])
async def test_credentials_come_from_a_secret_and_stay_with_their_server(
    workplace: Workplace, kind: str
) -> None:
    server = workplace.server
    server.login = ("me", "pass-word-1")
    server.add(chart())
    repository = f"oci://{server.host}/charts"
    for source in (workplace.chart(), workplace.chart(repository=repository)):
        stop = await refused(workplace, source)
        assert stop.reason == "SourceRefused"
    if kind == "basic":
        workplace.put("Secret", "login", username="me", password="pass-word-1")
    else:
        auths = {"auths": {server.host: {"username": "me", "password": "pass-word-1"}}}
        workplace.put("Secret", "login", **{".dockerconfigjson": json.dumps(auths)})
    for url in (server.url, repository):
        assert await workplace.bundle(workplace.chart(repository=url, secret="login"))
    workplace.put("Secret", "login", username="me", password="wrong-word-2")
    await workplace.restart()
    stop = await refused(workplace, workplace.chart(secret="login"))
    assert stop.reason == "SourceRefused"
    assert "wrong-word-2" not in stop.message
    stop = await refused(workplace, workplace.chart(secret="none"))
    assert "Secret ns/none does not exist" in stop.message


async def test_an_address_that_is_closed_is_not_asked_whatever_leads_there(
    workplace: Workplace,
) -> None:
    workplace.policies = Policies()
    await workplace.restart()
    stop = await refused(workplace, workplace.chart())
    assert isinstance(stop, Invalid)
    assert "127.0.0.0/8, which is forbidden by policy" in stop.message
    named = workplace.chart(repository=f"https://localhost:{workplace.server.port}/charts")
    stop = await refused(workplace, named)
    assert isinstance(stop, Invalid)
    assert "is forbidden by the administrator" in stop.message
    assert workplace.server.asked == []


async def test_nobody_is_led_away_from_tls(workplace: Workplace) -> None:
    workplace.server.add(chart())
    workplace.server.moved["/charts/index.yaml"] = "http://127.0.0.1/index.yaml"
    stop = await refused(workplace, workplace.chart())
    assert "leads on to where is no https" in stop.message
    workplace.server.moved["/charts/index.yaml"] = f"{workplace.server.url}/index.yaml"
    stop = await refused(workplace, workplace.chart())
    assert "leads on more than 3 times" in stop.message
    workplace.server.moved = {"/charts/demo-1.2.0.tgz": f"{workplace.server.url}/x.tgz"}
    stop = await refused(workplace, workplace.chart())
    assert stop.reason == "SourceMissing"


async def test_a_server_that_cannot_prove_who_it_is_is_not_believed(workplace: Workplace) -> None:
    workplace.server.add(chart())
    stop = await refused(workplace, workplace.chart(ca=""))
    assert stop.reason == "SourceUnreachable"
    assert "give its CA in spec.source.helm.ca" in stop.message
    stop = await refused(workplace, workplace.chart(ca="none"))
    assert "spec.source.helm.ca holds no certificates" in stop.message


async def test_a_manifest_that_is_a_list_of_images_or_no_chart_is_told(
    workplace: Workplace,
) -> None:
    index = json.dumps({"manifests": []}).encode()
    workplace.server.manifests["team/image:1"] = index
    stop = await refused(workplace, workplace.artifact("team/image:1"))
    assert "is no artifact, but perhaps a list of images" in stop.message
    workplace.server.push("charts/demo", "1.2.0", b"x", "text/plain")
    repository = f"oci://{workplace.server.host}/charts"
    stop = await refused(workplace, workplace.chart(repository=repository))
    assert f"has no layer of the type {CHART}" in stop.message


async def test_a_blob_that_is_not_what_its_digest_says_is_refused(workplace: Workplace) -> None:
    content = packed({"a.yaml": CONFIG % "a"})
    workplace.server.push("team/addon", "1", content)
    workplace.server.blobs[sha256(content)] = packed({"a.yaml": CONFIG % "evil"})
    stop = await refused(workplace, workplace.artifact("team/addon:1"))
    assert "is not what its digest says" in stop.message


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"entries: [1]",
        b"entries: {demo: [{version: 1.0.0, urls: [a]}",
        b"\xff\xfe\xff",
        b"apiVersion: v1",
        b"? {a: b}\n: c",
    ],
)
def test_what_is_no_index_is_told(index: bytes) -> None:
    assert choose((index, "demo", "*"))["problem"] == (
        "its index.yaml is not that of a chart repository"
    )


def test_aliases_in_an_index_build_nothing() -> None:
    index = b"entries:\n  other: &a [1, 2]\n  demo: [{version: 1.0.0, urls: *a}]\n"
    assert "tells no address" in choose((index, "demo", "*"))["problem"]


async def test_archives_are_fetched_once_and_let_go_of_when_there_are_too_many() -> None:
    fetched: list[str] = []
    archives = Archives(room=10)

    async def get(namespace: str, digest: str) -> None:
        async def fetch() -> bytes:
            fetched.append(f"{namespace} {digest}")
            return b"12345"

        await archives.get(namespace, digest, fetch)

    for one in ("a", "a", "b", "a", "c", "a", "b"):
        await get("ns", one)
    await get("other", "a")
    assert fetched == ["ns a", "ns b", "ns c", "ns b", "other a"]


def test_a_docker_config_is_read_by_host() -> None:
    auths = {
        "https://index.docker.io/v1/": {"username": "hub", "password": "1"},
        "registry.example:5000": {"username": "mine", "password": "2"},
    }
    data = {".dockerconfigjson": json.dumps({"auths": auths}).encode()}
    assert login_of(data, "docker.io") == ("hub", "1")
    assert login_of(data, "registry.example:5000") == ("mine", "2")
    assert login_of(data, "registry.example") is None
    for broken in (b"", b"[]", b'{"auths": 1}', b'{"auths": {"a": 1}}'):
        assert login_of({".dockerconfigjson": broken}, "a") is None
