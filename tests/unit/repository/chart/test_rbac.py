"""The operators' rights: no more than each needs, and where it needs them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.repository.chart.conftest import Manifest, Render, Rendered

READ_ONLY = {"get", "list", "watch"}


def rules(found: Rendered, operator: str) -> list[tuple[str, Manifest]]:
    """The rules that hold for an operator's service account, with where: a namespace or `*`."""
    out: list[tuple[str, Manifest]] = []
    for binding in found:
        if not binding["kind"].endswith("RoleBinding"):
            continue
        if {"kind": "ServiceAccount", "name": operator, "namespace": "kok-system"} not in binding[
            "subjects"
        ]:
            continue
        where = binding["metadata"].get("namespace", "*")
        role = next(
            m
            for m in found
            if m["kind"] == binding["roleRef"]["kind"]
            and m["metadata"]["name"] == binding["roleRef"]["name"]
            and m["metadata"].get("namespace", "*") == where
        )
        out += [(where, rule) for rule in role["rules"]]
    return out


def verbs(found: Rendered, operator: str, group: str, resource: str, where: str = "*") -> set[str]:
    """What an operator may do to a resource."""
    return {
        verb
        for place, rule in rules(found, operator)
        if place == where and group in rule["apiGroups"] and resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("values", [{}, {"singleProcess": True}, {"watchNamespaces": ["a"]}])
def test_no_right_is_a_wildcard_or_more_than_it_seems(
    render: Render, values: dict[str, Any]
) -> None:
    found = render(**values)
    for operator in {b["subjects"][0]["name"] for b in found if b["kind"].endswith("RoleBinding")}:
        for _, rule in rules(found, operator):
            named = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not named & {"*", "escalate", "bind", "impersonate", "deletecollection"}
            assert not named & {"pods/exec", "rbac.authorization.k8s.io"}


def test_every_service_account_of_a_pod_exists_and_is_the_pods_own(render: Render) -> None:
    found = render()
    used = [
        d["spec"]["template"]["spec"]["serviceAccountName"] for d in found.of("Deployment").values()
    ]
    assert sorted(used) == sorted(found.of("ServiceAccount"))
    assert len(set(used)) == len(used)


def test_only_who_makes_secrets_may_write_them(render: Render) -> None:
    found = render()
    # What it patches is a finalizer; an admission policy lets nothing else pass.
    assert verbs(found, "kok-machine", "", "secrets") == {"get", "patch"}
    (policy,) = found.of("ValidatingAdmissionPolicy").values()
    (binding,) = found.of("ValidatingAdmissionPolicyBinding").values()
    (condition,) = policy["spec"]["matchConditions"]
    assert '"system:serviceaccount:kok-system:kok-machine"' in condition["expression"]
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert {"create", "delete"} <= verbs(found, "kok-etcd", "", "secrets")
    assert {"create", "delete"} <= verbs(found, "kok-cluster", "", "secrets")


def test_nobody_changes_what_users_own(render: Render) -> None:
    found = render()
    for operator, kind in (
        ("etcd", "etcdclusters"),
        ("cluster", "clusters"),
        ("machine", "kubenodes"),
    ):
        own = verbs(found, f"kok-{operator}", "kok.dev", kind)
        assert not own & {"create", "update", "delete"}


def test_with_watched_namespaces_nothing_of_others_may_be_read(render: Render) -> None:
    found = render(watchNamespaces=["team-a", "team-b"])
    for operator in ("kok-etcd", "kok-cluster", "kok-machine"):
        everywhere = {
            (group, resource)
            for where, rule in rules(found, operator)
            if where == "*"
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert everywhere <= {
            ("apiextensions.k8s.io", "customresourcedefinitions"),
            ("", "namespaces"),
            ("", "nodes"),
            ("storage.k8s.io", "storageclasses"),
        }
        assert verbs(found, operator, "", "secrets", "team-b")


@pytest.mark.parametrize("operator", ["etcd", "cluster", "machine"])
def test_each_lease_is_one_operators_own(render: Render, operator: str) -> None:
    leases = [
        rule
        for where, rule in rules(render(), f"kok-{operator}")
        if where == "kok-system" and rule["resources"] == ["leases"]
    ]
    assert [r.get("resourceNames") for r in leases if r["verbs"] != ["create"]] == [
        [f"kok-{operator}-operator"]
    ]


def test_one_process_has_the_rights_of_all_operators(render: Render) -> None:
    apart = render()
    together = {
        (where, str(rule)) for where, rule in rules(render(singleProcess=True), "kok-operator")
    }
    for operator in ("kok-etcd", "kok-cluster", "kok-machine"):
        assert {(where, str(rule)) for where, rule in rules(apart, operator)} <= together


def test_who_may_edit_a_namespace_may_edit_its_kok_objects(render: Render) -> None:
    roles = render().of("ClusterRole")
    label = "rbac.authorization.k8s.io/aggregate-to-edit"
    assert {n for n, r in roles.items() if r["metadata"]["labels"].get(label) == "true"} == {
        "kok-edit",
        "kok-view",
    }
    assert not any(
        verb not in READ_ONLY for rule in roles["kok-view"]["rules"] for verb in rule["verbs"]
    )
