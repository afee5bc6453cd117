"""What each Cluster gets: the spec, with the values that are meant for it."""

from __future__ import annotations

from tests.unit.operators.cluster.addon.many.world import a_cluster, an_addon

from kok.api.cluster.addon import AddonSpec
from kok.operators.cluster import naming
from kok.operators.cluster.addon.many.content import Content, digest_of, plan_of, problem

EU = {"clusters": {"matchLabels": {"region": "eu"}}, "values": {"url": "eu", "keep": None}}
SHOP = {"names": ["shop"], "values": {"url": "shop", "limits": {"cpu": 2}}}
VALUES = {"url": "all", "keep": 30, "limits": {"cpu": 1, "memory": "1Gi"}}


def test_overrides_are_merged_in_their_order() -> None:
    content = Content.of(an_addon(values=VALUES, overrides=[EU, SHOP]).spec)
    shop, bank = a_cluster("shop", labels={"region": "eu"}), a_cluster("bank")
    limits = {"cpu": 2, "memory": "1Gi"}
    assert content.spec_for(shop)["values"] == {"url": "shop", "limits": limits}
    assert content.spec_for(bank)["values"] == VALUES
    assert content.spec_for(a_cluster("x", labels={"region": "eu"}))["values"]["url"] == "eu"


def test_a_cluster_gets_all_of_the_spec_but_what_says_where_it_goes() -> None:
    addon = an_addon(dependsOn=["base"], whenUnselected="Orphan", paused=True, overrides=[SHOP])
    spec = Content.of(addon.spec).spec_for(a_cluster("bank"))
    assert spec["cluster"] == "bank"
    assert spec["dependsOn"] == ["base"]
    assert not {"clusters", "overrides", "rollout", "whenUnselected", "paused"} & spec.keys()


def test_what_is_stored_is_known_again() -> None:
    content = Content.of(an_addon(values=VALUES, overrides=[EU, SHOP]).spec)
    shop, bank = a_cluster("shop"), a_cluster("bank")
    stored = AddonSpec.model_validate({**content.spec_for(shop), "paused": True})
    assert digest_of(stored) == content.digest_for(shop)
    assert content.digest_for(shop) != content.digest_for(bank)
    assert content.digest_for(bank) == content.digest_for(a_cluster("other"))


def test_a_kept_content_is_the_same_as_before() -> None:
    content = Content.of(an_addon(values=VALUES, overrides=[EU, SHOP]).spec)
    kept = content.to_keep()
    assert kept is not None
    read = type(kept).model_validate(kept.manifest())
    eu = a_cluster("x", labels={"region": "eu"})
    assert Content.kept(read).spec_for(eu) == content.spec_for(eu)
    assert Content.kept(read).revision == content.revision


def test_one_too_large_is_not_kept_twice() -> None:
    assert Content.of(an_addon(values={"text": "x" * 400_000}).spec).to_keep() is None
    assert Content.of(an_addon(values={"many": [1] * 5000}).spec).to_keep() is not None


def test_waves_are_part_of_the_plan_and_not_of_the_content() -> None:
    plain, staged = an_addon(), an_addon(rollout={"waves": [{"name": "all"}]})
    one, other = Content.of(plain.spec).revision, Content.of(staged.spec).revision
    assert one == other
    assert plan_of(plain.spec, one) != plan_of(staged.spec, other)


def test_values_that_nobody_can_read_are_refused_with_their_place() -> None:
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert problem(an_addon().spec) is None
    assert "spec.values is nested" in (problem(an_addon(values=deep).spec) or "")
    found = problem(an_addon(overrides=[SHOP, {"names": ["x"], "values": deep}]).spec)
    assert "spec.overrides[1].values" in (found or "")


def test_a_long_name_is_cut_and_still_tells_clusters_apart() -> None:
    addon = "a" * 60
    names = {naming.addon_for(addon, f"{'c' * 50}{n}") for n in range(3)}
    assert len(names) == 3
    assert all(len(name) <= 63 for name in names)
    assert naming.addon_for("log", "shop") == "log-shop"
