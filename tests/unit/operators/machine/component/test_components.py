"""Components: parameters, templates, and the built-in ones as they go to a host."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.golden import machine as golden
from tests.unit.operators.machine import builders

from kok.api.machine.component import Component
from kok.operators.machine.component import catalog, params
from kok.operators.machine.component.params import ParamsError
from kok.operators.machine.component.render import (
    ComponentError,
    Rendered,
    needs,
    question,
    rendered,
    validate,
)
from kok.operators.machine.component.template import RenderError, render
from kok.operators.machine.remote.survey import Found

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "level": {"type": "integer", "minimum": 1, "default": 3},
        "nested": {
            "type": "object",
            "default": {},
            "properties": {"on": {"type": "boolean", "default": True}},
        },
    },
}


def on_host(component: Any, given: dict[str, Any] | None = None, **survey: Any) -> Rendered:
    return rendered(component, builders.machine(), given or {}, builders.survey(**survey))


def file(made: Rendered, path: str) -> str:
    return next(f.content for f in made.files if f.path == path)


# --- parameters


def test_defaults_are_filled_in_at_every_depth() -> None:
    assert params.complete(SCHEMA, {}) == {"level": 3, "nested": {"on": True}}
    assert params.complete(SCHEMA, {"nested": {"on": False}})["nested"] == {"on": False}


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(ParamsError, match=r"params\.level: 0 is less than the minimum of 1"):
        params.complete(SCHEMA, {"level": 0})
    with pytest.raises(ParamsError, match="'levle' was unexpected"):
        params.complete(SCHEMA, {"levle": 1})
    with pytest.raises(ParamsError, match="is not a JSON schema"):
        params.complete({"type": "objekt"}, {})


def test_a_schema_cannot_make_the_operator_fetch_anything() -> None:
    with pytest.raises(ParamsError, match="refers to what is not in it"):
        params.complete({"$ref": "http://127.0.0.1:1/schema.json"}, {})


def test_defaults_are_not_shared_between_machines() -> None:
    schema = {"type": "object", "properties": {"list": {"default": []}}}
    params.complete(schema, {})["list"].append(1)
    assert params.complete(schema, {}) == {"list": []}


# --- templates


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ params.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{% for i in range(1000000) %}{% endfor %}",
        "{{ params.update({'a': 1}) }}",
    ],
)
def test_templates_are_sandboxed(attack: str) -> None:
    with pytest.raises(RenderError):
        render("x", attack, {"params": {}})


def test_mistakes_in_templates_are_located() -> None:
    with pytest.raises(RenderError, match=r"spec.files: line 2: "):
        render("spec.files", "a\n{{ unclosed", {})
    with pytest.raises(
        RenderError, match="'dict object' has no attribute 'nope'; give it a default"
    ):
        render("x", "{{ params.nope }}", {"params": {}})
    with pytest.raises(RenderError):
        render("x", "{{ 1 / 0 }}", {})


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_the_sh_filter_quotes_anything(text: str) -> None:
    import shlex  # noqa: PLC0415 - only this test reads shell

    assert shlex.split(render("x", "{{ value | sh }}", {"value": text})) == [text]


def test_a_component_is_checked_whatever_its_parameters() -> None:
    validate(builders.component())
    with pytest.raises(ComponentError, match=r"spec.scripts.install: line 1"):
        validate(builders.component(scripts={"install": "{% if %}"}))
    with pytest.raises(ComponentError, match="is not a JSON schema"):
        validate(builders.component(parameters={"type": 3}))


def test_files_for_each_entry_of_a_parameter() -> None:
    spec = {
        "parameters": {"properties": {"sites": {"default": {}}}},
        "files": [
            {"path": "/etc/{{item.key}}.conf", "forEach": "sites", "content": "{{ item.value }}"}
        ],
    }
    made = on_host(builders.component(**spec), {"sites": {"b": 2, "a": 1}})
    assert [(f.path, f.content) for f in made.files] == [("/etc/a.conf", "1"), ("/etc/b.conf", "2")]
    assert on_host(builders.component(**spec)).files == ()
    with pytest.raises(ComponentError, match="parameter sites is neither a list nor a map"):
        on_host(builders.component(**spec), {"sites": "text"})


@pytest.mark.parametrize("name", ["tool\n/etc/passwd", "../../passwd"])
def test_a_path_that_parameters_lead_astray_is_refused(name: str) -> None:
    made = builders.component(files=[{"path": "/etc/tool/{{ params.name }}", "content": ""}])
    with pytest.raises(ComponentError, match="is no absolute path"):
        question(made, builders.machine(), {"name": name})


def test_probes_cannot_depend_on_facts() -> None:
    with pytest.raises(ComponentError, match="'facts' is undefined"):
        question(
            builders.component(scripts={"probe": "echo {{ facts.arch }}"}), builders.machine(), {}
        )


def test_a_component_for_other_processors_is_refused() -> None:
    component = builders.component(platforms=[{"os": "linux", "arch": "arm64"}])
    with pytest.raises(ComponentError, match="is for linux/arm64, the host is linux/amd64"):
        on_host(component)


def test_right_means_version_files_and_a_finished_configuration() -> None:
    made = on_host(builders.component(files=[{"path": "/etc/a", "content": "a"}]))
    files = {f.path: (f.mode, f.digest) for f in made.files}
    whole = Found(version="1.0", files=files, recorded=made.config, begun=True)
    assert made.right(whole)
    assert not made.right(Found(version="1.1", files=files, recorded=made.config))
    assert not made.right(Found(version="1.0", files={}, recorded=made.config))
    assert not made.right(Found(version="1.0", files=files, recorded=""))


# --- the built-in ones


def test_all_that_comes_along_is_valid() -> None:
    assert catalog.builtin() == set(builders.EVERYTHING)
    for name in sorted(catalog.builtin()):
        validate(builders.builtin(name))


@pytest.mark.parametrize("name", sorted(builders.EVERYTHING))
def test_built_in_components_change_only_on_purpose(name: str) -> None:
    component = builders.builtin(name)
    golden.check(
        f"component-{name}.yaml",
        yaml.safe_dump(component.spec.manifest(), sort_keys=False, width=100),
    )


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("cni-plugins", "cb3bd0fa9ec2d045"),
        ("containerd", "03271b6253e18107"),
        ("host-prep", "8d6b70c1fad404ef"),
        ("kubelet", "dd6bb472b8a60f74"),
        ("runc", "473c1ccfafb20813"),
    ],
)
def test_what_runs_on_nodes_of_earlier_releases_stays(name: str, digest: str) -> None:
    """Another digest has nodes with that version changed whose Component is made anew, as for other sums.

    What has to be different gets another version, or is derived where it was asked for; but for what is
    taken away in the end, or costs no more than a restart, as of containerd and the kubelet.
    """
    assert on_host(builders.builtin(name)).config == digest


def test_files_may_differ_between_versions() -> None:
    path = "/etc/containerd/config.toml"
    new = on_host(builders.builtin("containerd"), {"cgroupDriver": "cgroupfs"})
    old = on_host(builders.builtin("containerd", "1.7.27"), {"cgroupDriver": "cgroupfs"})
    assert [f.path for f in new.files] == [f.path for f in old.files]
    assert "version = 3\n" in file(new, path)
    assert "version = 2\n" in file(old, path)
    cri = tomllib.loads(file(old, path))["plugins"]["io.containerd.grpc.v1.cri"]
    options = cri["containerd"]["runtimes"]["runc"]["options"]
    assert options == {"BinaryName": "/usr/local/sbin/runc", "SystemdCgroup": False}
    assert cri["sandbox_image"] == "registry.k8s.io/pause:3.10.1"
    assert cri["registry"]["config_path"] == "/etc/containerd/certs.d"


def test_what_a_change_needs_is_data_also_of_users_components() -> None:
    def found(version: str) -> Found:
        return Found(version=version, begun=bool(version))

    docker = on_host(builders.builtin("docker"))
    assert docker.needs(found("20.10.24")) == "restart"
    assert docker.needs(found("20.10.9")) == "drain"
    assert docker.needs(found("")) == "nothing"
    assert on_host(builders.builtin("runc")).needs(found("1.1.4")) == "nothing"
    own = on_host(builders.component(change="reboot", changeVersion="drain"))
    assert (own.needs(found("1.0")), own.needs(found("0.9"))) == ("reboot", "drain")
    assert on_host(builders.component(change="drain")).needs(found("0.9")) == "drain"
    assert on_host(builders.component()).needs(found("1.0")) == "restart"


def test_objects_of_earlier_releases_are_understood_as_todays() -> None:
    today = builders.builtin("docker")
    data = today.manifest()
    for key in ("change", "changeVersion", "services", "remains"):
        data["spec"].pop(key)
    data["spec"]["dependsOn"] = []
    before = on_host(Component.parse(data))
    assert before.depends_on == ("host-prep", "runc")
    assert before.needs(Found(version="20.10.9", begun=True)) == "drain"


def test_artifacts_lie_where_their_publishers_put_them() -> None:
    paths = {
        s.path
        for n, v in builders.EVERYTHING.items()
        for s in catalog.sources(n, v)
        if s.arch == "amd64"
    }
    assert paths == {
        "kubernetes/v1.37.1/bin/linux/amd64/kubelet",
        "containerd/v2.3.7/containerd-2.3.7-linux-amd64.tar.gz",
        "runc/v1.1.5/runc.amd64",
        "cni-plugins/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz",
        "docker/linux/static/stable/x86_64/docker-20.10.24.tgz",
        "cri-dockerd/v0.4.3/cri-dockerd-0.4.3.amd64.tgz",
        "node-problem-detector/v1.34.0/node-problem-detector-v1.34.0-linux_amd64.tar.gz",
        "nvidia-driver/595.91.07/NVIDIA-Linux-x86_64-595.91.07.run",
        "nvidia-container-toolkit/v1.20.2/nvidia-container-toolkit_1.20.2_deb_amd64.tar.gz",
    }


def test_an_architecture_without_sums_is_left_out() -> None:
    sums = {"runc/v1.1.5/runc.amd64": "ab" * 32}
    spec = catalog.manifest("runc", "1.1.5", sums)["spec"]
    assert spec["platforms"] == [{"os": "linux", "arch": "amd64"}]
    assert [a["arch"] for a in spec["artifacts"]] == ["amd64"]


def test_the_kubelet_takes_its_fields_over_the_defaults() -> None:
    given = {
        "config": {
            "cgroupDriver": "cgroupfs",
            "authentication": {"webhook": {"cacheTTL": "1m"}},
            "kind": "Nonsense",
        }
    }
    made = on_host(builders.builtin("kubelet"), given, facts={"resolver": "/run/resolv.conf"})
    config = yaml.safe_load(file(made, "/etc/kubernetes/kubelet.yaml"))
    assert config["kind"] == "KubeletConfiguration"
    assert config["cgroupDriver"] == "cgroupfs"
    assert config["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "1m"}
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["serverTLSBootstrap"]
    assert config["rotateCertificates"]
    assert config["resolvConf"] == "/run/resolv.conf"


def test_the_kubelet_serves_on_the_address_by_which_the_host_is_known() -> None:
    unit = "/etc/systemd/system/kubelet.service"
    own = on_host(builders.builtin("kubelet"), addresses=("10.0.0.9", "192.0.2.21"))
    assert "--hostname-override=w1 --node-ip=192.0.2.21\n" in file(own, unit)
    behind_nat = on_host(builders.builtin("kubelet"), addresses=("10.0.0.9",))
    assert "--node-ip=10.0.0.9\n" in file(behind_nat, unit)


def test_mirrors_become_files_of_containerd() -> None:
    mirrors = {"*": ["http://mirror:5000"], "docker.io": ["https://a", "https://b"]}
    made = on_host(builders.builtin("containerd"), {"mirrors": mirrors})
    base = "/etc/containerd/certs.d"
    assert file(made, f"{base}/_default/hosts.toml").splitlines()[1:] == [
        '[host."http://mirror:5000"]',
        '  capabilities = ["pull", "resolve"]',
    ]
    assert file(made, f"{base}/docker.io/hosts.toml").count("[host.") == 2
    with pytest.raises(ComponentError, match="does not match"):
        on_host(builders.builtin("containerd"), {"mirrors": {"../../etc": ["http://x"]}})


def test_containerd_is_spared_what_the_host_may_not_do() -> None:
    config = "/etc/containerd/config.toml"
    free = on_host(builders.builtin("containerd"))
    bound = on_host(builders.builtin("containerd"), facts={"capabilities": "000001fffeffffff"})
    assert "restrict_oom_score_adj = false" in file(free, config)
    assert "restrict_oom_score_adj = true" in file(bound, config)


def test_what_an_earlier_release_made_asks_for_what_is_known_of_it_by_now() -> None:
    made = builders.builtin("docker")
    less = {"change": None, "change_version": None}
    older = made.model_copy(update={"spec": made.spec.model_copy(update=less)})
    for each in (made, older):
        assert needs(each, Found("19.3.15", begun=True)) == "drain"
        assert needs(each, Found("20.10.24", begun=True)) == "restart"
        assert needs(each, Found()) == "nothing"
