"""The bookkeeping of the writer: what counts as a broken promise."""

from __future__ import annotations

import base64
import json

import pytest
from e2e.writer import endpoints, identity, kept
from e2e.writer.gateway import decode, encode, end_of
from e2e.writer.ledger import Found, Ledger, Verdict
from hypothesis import given
from hypothesis import strategies as st


def _written(*revisions: int) -> Ledger:
    """Keys k0, k1... confirmed one after another, a second each."""
    ledger = Ledger()
    ledger.begin(0.0)
    for n, revision in enumerate(revisions):
        floor = ledger.send(f"k{n}", f"v{n}")
        ledger.confirm(f"k{n}", revision, floor, float(n + 1))
    return ledger


def _store(ledger: Ledger) -> dict[str, Found]:
    return {key: Found(p.value, p.revision) for key, p in ledger.promises.items()}


def test_all_is_kept_if_all_is_there() -> None:
    ledger = _written(5, 6, 9)
    verdict = ledger.judge(_store(ledger), 9)
    assert verdict.kept
    assert (verdict.acknowledged, verdict.highest) == (3, 9)
    kept(verdict)


def test_a_confirmed_write_that_is_gone_is_lost_and_named() -> None:
    ledger = _written(5, 6, 9)
    store = _store(ledger)
    del store["k1"]
    verdict = ledger.judge(store, 9)
    assert (verdict.lost, verdict.lost_from, verdict.names) == (1, 6, ("k1",))
    with pytest.raises(AssertionError, match="k1"):
        kept(verdict)


def test_all_that_was_written_after_a_snapshot_is_told_apart_by_its_revision() -> None:
    ledger = _written(5, 6, 7, 8)
    store = {key: found for key, found in _store(ledger).items() if found.revision <= 6}
    verdict = ledger.judge(store, 1_000_006)
    assert (verdict.lost, verdict.lost_from) == (2, 7)


@pytest.mark.parametrize("found", [Found("other", 5), Found("v0", 4)])
def test_another_value_or_revision_is_no_kept_promise(found: Found) -> None:
    ledger = _written(5)
    verdict = ledger.judge({"k0": found}, 5)
    assert verdict.altered == 1
    assert not verdict.kept


def test_an_unconfirmed_write_may_be_there_or_not() -> None:
    ledger = _written(5)
    ledger.send("k8", "v8")
    ledger.send("k9", "v9")
    ledger.fail("no answer")
    verdict = ledger.judge({**_store(ledger), "k9": Found("v9", 6)}, 6)
    assert verdict.kept
    assert (verdict.unconfirmed, verdict.unconfirmed_present) == (2, 1)


def test_a_key_that_nobody_wrote_breaks_trust() -> None:
    ledger = _written(5)
    verdict = ledger.judge({**_store(ledger), "k7": Found("v7", 6)}, 6)
    assert verdict.strangers == 1
    assert not verdict.kept


def test_a_revision_below_one_confirmed_before_runs_backwards() -> None:
    assert _written(5, 6, 6).backwards == 1
    assert _written(5, 6, 3).backwards == 1


def test_writes_side_by_side_may_be_confirmed_in_any_order() -> None:
    ledger = Ledger()
    first, second = ledger.send("a", "1"), ledger.send("b", "2")
    ledger.confirm("b", 8, second, 1.0)
    ledger.confirm("a", 7, first, 1.1)
    assert ledger.backwards == 0
    assert ledger.highest == 8


def test_a_store_whose_revision_went_back_is_not_kept() -> None:
    ledger = _written(5, 6)
    assert not ledger.judge(_store(ledger), 4).kept


def test_nothing_confirmed_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="nothing was proved"):
        kept(Ledger().judge({}, 1))


def test_the_longest_gap_lies_between_confirmed_writes() -> None:
    ledger = Ledger()
    ledger.begin(0.0)
    for n, at in enumerate((1.0, 1.2, 4.7, 4.8)):
        ledger.confirm(f"k{n}", n + 2, ledger.send(f"k{n}", ""), at)
    lap = ledger.lap(5.0)
    assert lap.longest_gap == pytest.approx(3.5)
    assert (lap.acknowledged, lap.failed, lap.seconds) == (4, 0, 5.0)


def test_a_gap_that_still_lasts_counts_in_both_laps() -> None:
    ledger = _written(5)
    assert ledger.lap(11.0).longest_gap == pytest.approx(10.0)
    assert ledger.lap(13.0).longest_gap == pytest.approx(12.0)


def test_without_a_confirmed_write_the_whole_lap_is_a_gap() -> None:
    ledger = Ledger()
    ledger.begin(2.0)
    ledger.fail("no answer within 1 s")
    lap = ledger.lap(9.0)
    assert (lap.longest_gap, lap.failed, lap.trouble) == (7.0, 1, "no answer within 1 s")


@given(st.lists(st.integers(2, 50), unique=True, min_size=1), st.data())
def test_every_missing_key_counts(revisions: list[int], data: st.DataObject) -> None:
    ledger = _written(*sorted(revisions))
    store = _store(ledger)
    gone = data.draw(st.sets(st.sampled_from(sorted(store))))
    verdict = ledger.judge({k: f for k, f in store.items() if k not in gone}, 50)
    assert verdict.lost == len(gone)
    assert verdict.kept is (not gone)


def test_a_verdict_passes_through_a_pipe() -> None:
    ledger = _written(5, 6)
    verdict = ledger.judge({}, 7)
    assert Verdict.from_json(json.loads(json.dumps(verdict.as_json()))) == verdict


def test_the_end_of_a_prefix_is_behind_all_its_keys() -> None:
    assert end_of("writer/") > "writer/zzz"
    assert decode(encode("é")) == "é"


def _pod(name: str, address: str | None, phase: str = "Running") -> dict[str, object]:
    return {"metadata": {"name": name}, "status": {"podIP": address, "phase": phase}}


def test_members_are_asked_at_the_addresses_of_pods_that_have_one() -> None:
    pods = [_pod("e-1-0", "10.0.0.2"), _pod("e-0-0", "10.0.0.1"), _pod("e-2-0", None)]
    assert endpoints(pods) == ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
    assert endpoints([_pod("e-0-0", "10.0.0.1", "Failed")]) == []


def test_a_secret_that_is_not_whole_is_not_used() -> None:
    text = base64.b64encode(b"pem").decode()
    assert identity({"data": {"ca.crt": text, "tls.crt": text}}, "ns", "e") == {}
    whole = identity({"data": {"ca.crt": text, "tls.crt": text, "tls.key": text}}, "ns", "e")
    assert whole["server_name"] == "e-client.ns.svc"
