"""Kubeconfigs: the same bytes each time, read by others and by ourselves."""

from __future__ import annotations

import time

import pytest
import yaml

from kok.pki import (
    ClientCertFiles,
    LeafSpec,
    PkiError,
    Token,
    TokenFile,
    issue,
    kubeconfig,
    leaf_within,
    parse_kubeconfig,
)

SERVER = "https://192.0.2.10:31443"
GOLDEN = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Y2E=
    server: https://192.0.2.10:31443
    tls-server-name: kubernetes
  name: shop
contexts:
- context:
    cluster: shop
    namespace: kube-system
    user: system:kube-scheduler
  name: system:kube-scheduler@shop
current-context: system:kube-scheduler@shop
kind: Config
users:
- name: system:kube-scheduler
  user:
    client-certificate: /pki/tls.crt
    client-key: /pki/tls.key
"""


def test_the_text_is_always_the_same():
    credentials = ClientCertFiles("/pki/tls.crt", "/pki/tls.key")
    text = kubeconfig(
        "shop",
        SERVER,
        b"ca",
        "system:kube-scheduler",
        credentials,
        namespace="kube-system",
        tls_server_name="kubernetes",
    )
    assert text == GOLDEN


@pytest.mark.parametrize("kind", ["leaf", "files", "token", "token file"])
def test_what_is_written_is_read_back(ca, now, kind):
    credentials = {
        "leaf": issue(ca, LeafSpec("kubernetes-admin"), now),
        "files": ClientCertFiles("/a", "/b"),
        "token": Token("abcdef.0123456789abcdef"),
        "token file": TokenFile("/var/run/token"),
    }[kind]
    text = kubeconfig("shop", SERVER, ca.trust_pem, "admin", credentials)
    found = parse_kubeconfig(text)
    assert found.credentials == credentials
    assert (found.cluster_name, found.server, found.user) == ("shop", SERVER, "admin")
    assert found.ca_pem == ca.trust_pem
    assert parse_kubeconfig(text.encode()) == found


def test_names_that_look_like_other_yaml_types_stay_text(ca):
    found = parse_kubeconfig(kubeconfig("1.0", SERVER, ca.cert_pem, "true", Token("12345")))
    assert (found.cluster_name, found.user, found.credentials) == ("1.0", "true", Token("12345"))


def test_long_values_stay_on_one_line(ca):
    text = kubeconfig("shop", SERVER, ca.cert_pem * 20, "a", Token("t"))
    lines = [line for line in text.splitlines() if "certificate-authority-data" in line]
    assert len(lines[0]) > 10_000
    assert yaml.safe_load(text)["clusters"][0]["name"] == "shop"


def test_a_client_certificate_is_found_without_a_parser(ca, now):
    leaf = issue(ca, LeafSpec("kubernetes-admin"), now)
    text = kubeconfig("shop", SERVER, ca.trust_pem, "admin", leaf).encode()
    assert leaf_within(text) == leaf
    for other in (GOLDEN.encode(), text + text, text.replace(b"key-data: ", b"key-data: ."), b""):
        assert leaf_within(other) is None


def test_what_somebody_made_up_takes_no_time():
    begin = time.process_time()
    for hostile in (b"- {a: [1,2,3]}\n", b"&a [*a,", b"client-key-data: ", b"\n", b"{"):
        assert leaf_within(hostile * (60_000 // len(hostile))) is None
    assert time.process_time() - begin < 1  # The parser of YAML takes seconds for the first alone.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("[]", "is not a YAML mapping"),
        ("{}", "names no context"),
        ("current-context: [a]\n", "names no context"),
        (f"current-context: {'a' * 5000}\n", f"no context named '{'a' * 100}'$"),
        ('"\\UFFFFFFFF"', "is not YAML"),
        ("[" * 5000, "is not YAML"),
        (
            GOLDEN.replace("server: h", "server: [h").replace(":31443", ":31443]"),
            "server is not text",
        ),
        (GOLDEN.replace(" Y2E=", " {a: b}"), "certificate-authority-data is not text"),
        ("current-context: a\ncontexts: 5\n", "has no context named 'a'"),
        (GOLDEN.replace("Y2E=", "Y.2E="), "certificate-authority-data is not base64"),
        (GOLDEN.replace("certificate-authority-data", "x"), "no certificate-authority-data"),
        (GOLDEN.replace("client-key", "x"), "neither a client certificate nor a token"),
        (GOLDEN.replace("- name: system", "- name: s"), "has no user named"),
    ],
)
def test_what_is_no_kubeconfig_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(PkiError, match=sentence):
        parse_kubeconfig(text)


def doubling(lines: int) -> str:
    """Each line has the one before it twice."""
    more = (f"a{n}: &a{n} [*a{n - 1},*a{n - 1}]\n" for n in range(1, lines))
    return f"a0: &a0 [x,x]\n{''.join(more)}"


@pytest.mark.parametrize(
    "text",
    [
        f"{doubling(40)}current-context: *a39\ncontexts: []\n",
        f"{doubling(40)}current-context: a\ncontexts: [{{name: *a39, context: {{}}}}]\n",
        GOLDEN.replace("Y2E=", "&a Y2E=").replace(": /pki/tls.key", ": *a"),
        GOLDEN.replace("  user:\n", "  user:\n    <<: *a\n"),
        "&a [*a]",
        "*a",
    ],
)
def test_what_repeats_itself_is_not_read(text: str):
    """Few bytes of aliases, written out, are more than a machine has memory for."""
    assert len(text) < 1000
    begin = time.process_time()
    with pytest.raises(PkiError, match=r"^the kubeconfig has YAML aliases, which are not read$"):
        parse_kubeconfig(text)
    assert time.process_time() - begin < 1


def test_a_server_without_tls_is_refused(ca):
    with pytest.raises(PkiError, match="https://"):
        kubeconfig("shop", "http://192.0.2.10", ca.cert_pem, "a", Token("t"))


def test_tokens_do_not_show_when_printed(ca):
    found = parse_kubeconfig(kubeconfig("shop", SERVER, ca.cert_pem, "a", Token("hush")))
    assert "hush" not in repr(found)
