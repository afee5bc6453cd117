"""One signer gives way to another: at no point of any way through it is anybody refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from cryptography import x509

from kok.pki import (
    CAAction,
    CAReason,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    Usage,
    fingerprint,
    issue,
    must_renew,
    new_ca,
)
from kok.pki.authority import issued_by
from kok.pki.rotation import (
    Announce,
    Enter,
    Phase,
    Rotation,
    Step,
    authority,
    decide_next_ca,
    made,
    next_step,
    replaced_at_once,
    trusted,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


# --- a model: those who sign and check, what is handed out to them, and what they have read of it


@dataclass(frozen=True)
class Paper:
    """Whom its holder is to trust, and who has signed what it shows."""

    trusts: frozenset[str]
    signer: str


@dataclass(frozen=True)
class User:
    """Both client and server. It reads again what is signed at any time, whom to trust at its start."""

    handed: Paper
    held: Paper
    confirms: bool
    """Whether somebody else restarts it and confirms that."""

    @property
    def is_current(self) -> bool:
        return self.handed == self.held


@dataclass(frozen=True)
class State:
    """What there is at one moment; `spare` are the names of signers that can still be made."""

    rotation: Rotation
    users: tuple[User, ...]
    spare: tuple[str, ...]
    wishes: int
    """How often a rotation will still be asked for."""

    @property
    def wanted(self) -> bool:
        return self.wishes > 0

    @property
    def in_place(self) -> bool:
        paper = self.paper
        return paper is not None and all(user.handed == paper for user in self.users)

    @property
    def settled(self) -> bool:
        return all(user.is_current for user in self.users if not user.confirms)

    @property
    def confirmed(self) -> bool:
        return all(user.is_current for user in self.users if user.confirms)

    @property
    def paper(self) -> Paper | None:
        """What everybody is to be handed; None while the next signer has yet to be made."""
        known = self.rotation
        if known.phase is None or not known.under_way:
            return Paper(frozenset({known.current or ""}), known.current or "")
        if known.next is None:
            return None
        signer, *others = trusted(known.phase, known.previous or "", known.next)
        return Paper(frozenset({signer, *others}), signer)


def begin(users: int) -> State:
    paper = Paper(frozenset({OLD}), OLD)
    some = tuple(User(paper, paper, confirms=number == 0) for number in range(users))
    return State(Rotation(OLD), some, ("sha256:bb", "sha256:cc", "sha256:dd"), wishes=2)


def with_user(state: State, number: int, user: User) -> State:
    users = (*state.users[:number], user, *state.users[number + 1 :])
    return replace(state, users=users)


def stepped(state: State, step: Step) -> State:
    wishes = state.wishes - (step == Enter("Trust"))
    return replace(state, rotation=step.of(state.rotation), wishes=wishes)


def ways(state: State, plan: Callable[[State], Step | None]) -> Iterator[State]:
    """All that may happen next."""
    known = state.rotation
    if known.phase == "Trust" and known.next is None:
        yield replace(state, rotation=made(known, state.spare[0]), spare=state.spare[1:])
    if known.phase == "Trust" and known.next is not None and len(state.spare) > 1:
        # It is gone before it has signed anything.
        yield replace(state, rotation=made(known, None))
    for number, user in enumerate(state.users):
        if state.paper is not None and user.handed != state.paper:
            yield with_user(state, number, replace(user, handed=state.paper))
        if not user.is_current:
            # A restart, of itself or by whoever looks after it; and what is read without one.
            yield with_user(state, number, replace(user, held=user.handed))
            read = replace(user.held, signer=user.handed.signer)
            yield with_user(state, number, replace(user, held=read))
    if (step := plan(state)) is not None:
        yield stepped(state, step)


def refused(state: State) -> bool:
    """Whether any client would be refused by any server, also by one that starts at this moment."""
    papers = [paper for user in state.users for paper in (user.held, user.handed)]
    return any(one.signer not in other.trusts for one, other in product(papers, papers))


def reached(
    first: State, plan: Callable[[State], Step | None], until: Callable[[State], bool]
) -> set[State]:
    """Every state that can be reached, by any order of what happens; ends early where `until` holds."""
    seen, ahead = {first}, deque([first])
    while ahead:
        for state in ways(ahead.popleft(), plan):
            if state not in seen:
                seen.add(state)
                ahead.append(state)
                if until(state):
                    return seen
    return seen


def by_the_rules(state: State) -> Step | None:
    return next_step(state.rotation, state)


def test_at_every_state_that_can_be_reached_each_client_is_trusted_by_each_server() -> None:
    seen = reached(begin(4), by_the_rules, refused)

    assert not any(map(refused, seen))
    assert {state.rotation.phase for state in seen} == {None, "Trust", "Reissue", "Drop", "Done"}
    assert any(state.wishes == 0 and state.rotation.phase == "Done" for state in seen)
    assert len(seen) > 1000


def test_every_way_comes_to_its_end() -> None:
    """From every state that can be reached the end can be reached: nothing waits for itself."""
    seen = reached(begin(4), by_the_rules, refused)
    before: dict[State, list[State]] = {}
    for state in seen:
        for after in ways(state, by_the_rules):
            before.setdefault(after, []).append(state)
    ends = [s for s in seen if next(ways(s, by_the_rules), None) is None]
    assert ends
    assert all(s.wishes == 0 and s.rotation.phase == "Done" and s.settled for s in ends)
    good, ahead = set(ends), deque(ends)
    while ahead:
        for state in before.get(ahead.popleft(), ()):
            if state not in good:
                good.add(state)
                ahead.append(state)
    assert good == seen


@dataclass(frozen=True)
class Lying:
    """One of the facts is said to hold, whatever is seen."""

    state: State
    about: str
    wanted: bool = field(init=False)
    in_place: bool = field(init=False)
    settled: bool = field(init=False)
    confirmed: bool = field(init=False)

    def __post_init__(self) -> None:
        for name in ("wanted", "in_place", "settled", "confirmed"):
            value = self.about == name or getattr(self.state, name)
            object.__setattr__(self, name, value)


@pytest.mark.parametrize("about", ["in_place", "settled", "confirmed"])
def test_without_any_one_of_its_rules_somebody_would_be_refused(about: str) -> None:
    """The check above finds what there is to be found."""

    def rashly(state: State) -> Step | None:
        return next_step(state.rotation, Lying(state, about))

    assert any(map(refused, reached(begin(4), rashly, refused)))


# --- the steps


@dataclass(frozen=True)
class Seen:
    """Facts as they are set."""

    wanted: bool = False
    in_place: bool = True
    settled: bool = True
    confirmed: bool = True


def at(phase: Phase, announced: Phase | None = None) -> Rotation:
    current = NEW if phase in {"Drop", "Done"} else OLD
    known = Rotation(current, phase, OLD, NEW)
    return replace(known, announced=known.token(announced)) if announced is not None else known


def test_nothing_happens_that_nobody_asked_for() -> None:
    assert next_step(Rotation(OLD), Seen()) is None
    assert next_step(at("Done", "Done"), Seen()) is None


def test_it_begins_when_all_are_well_whoever_has_confirmed_what() -> None:
    for known in (Rotation(OLD), at("Done", "Drop")):
        assert next_step(known, Seen(wanted=True, confirmed=False)) == Enter("Trust")
        assert next_step(known, Seen(wanted=True, settled=False)) is None


@pytest.mark.parametrize(
    ("phase", "earlier", "after"),
    [("Trust", None, "Reissue"), ("Reissue", "Trust", "Drop"), ("Drop", "Reissue", "Done")],
)
def test_a_phase_is_announced_once_in_place_and_ends_when_all_have_it(
    phase: Phase, earlier: Phase | None, after: Phase
) -> None:
    before = at(phase, earlier)
    assert next_step(before, Seen(in_place=False)) is None
    step = next_step(before, Seen(settled=False, confirmed=False))
    assert step == Announce(before.token())
    announced = step.of(before)
    assert next_step(announced, Seen()) == Enter(after)
    for lacks in ("in_place", "settled", "confirmed"):
        assert next_step(announced, Seen(**{lacks: False})) is None, lacks


def test_what_is_recorded_of_each_step() -> None:
    begun = Enter("Trust").of(at("Done", "Done"))
    assert begun == Rotation(NEW, "Trust", NEW, None, "Drop-bbbbbbbbbbbb")
    assert not begun.is_announced
    two = made(begun, OLD)
    assert Announce(two.token()).of(two).announced == "Trust-aaaaaaaaaaaa"
    assert Enter("Reissue").of(two).current == NEW
    assert Enter("Drop").of(two).current == OLD
    assert replaced_at_once(two, "sha256:c").current == "sha256:c"


def test_a_next_one_that_is_made_anew_is_announced_anew() -> None:
    known = at("Trust", "Trust")
    assert known.is_announced
    assert not made(known, None).is_announced
    assert not made(known, "sha256:c").is_announced


def test_one_that_took_over_at_once_is_announced_like_the_end_of_a_rotation() -> None:
    known = replaced_at_once(at("Reissue", "Reissue"), "sha256:cc")
    assert not known.under_way
    step = next_step(known, Seen(settled=False, confirmed=False))
    assert step == Announce("Drop-cc")


def test_marks_change_only_by_announcements_and_end_with_the_fingerprint() -> None:
    assert Rotation().mark == ""
    assert Rotation(OLD).mark == at("Trust").mark == OLD
    assert at("Trust", "Trust").mark == at("Reissue", "Trust").mark == "Trust-bbbbbbbbbbbb"
    assert at("Reissue", "Reissue").mark == at("Drop", "Reissue").mark == "Reissue-bbbbbbbbbbbb"
    assert at("Drop", "Drop").mark == at("Done", "Done").mark == NEW


def test_the_marks_of_one_rotation_are_kin_and_no_others() -> None:
    phases: list[tuple[Phase, Phase | None]] = [
        ("Trust", None),
        ("Trust", "Trust"),
        ("Reissue", "Reissue"),
        ("Drop", "Drop"),
        ("Done", "Done"),
    ]
    for phase, announced in phases:
        known = at(phase, announced)
        assert known.kin == {at(*one).mark for one in phases}
    assert Rotation(OLD).kin == made(at("Trust"), None).kin == {OLD}
    assert replaced_at_once(at("Trust", "Trust"), "sha256:c").kin == {"sha256:c"}


# --- with real certificates


CAS = {OLD: new_ca("one", NOW), NEW: new_ca("another", NOW)}
SPEC = LeafSpec("user", dns_names=["user"], usages=Usage.BOTH)


def accepts(bundle: bytes, leaf: Leaf) -> bool:
    shown = x509.load_pem_x509_certificate(leaf.cert_pem)
    return any(issued_by(shown, ca) for ca in x509.load_pem_x509_certificates(bundle))


def test_the_certificates_of_two_phases_in_a_row_are_accepted_by_each_other() -> None:
    """Issued anew exactly where another CA signs, as `must_renew` says."""
    order: list[tuple[Phase, bool]] = [("Trust", False), ("Reissue", True), ("Drop", False)]
    leaf, bundle = issue(CAS[OLD], SPEC, NOW), CAS[OLD].trust_pem
    for phase, anew in order:
        ca = authority(phase, CAS[OLD], CAS[NEW])
        reason = must_renew(leaf, SPEC, ca, NOW, timedelta(days=30))
        assert (reason is not None) is anew, phase
        following = issue(ca, SPEC, NOW) if anew else leaf
        for one, other in product((leaf, following), (bundle, ca.trust_pem)):
            assert accepts(other, one), phase
        leaf, bundle = following, ca.trust_pem
    assert not accepts(bundle, issue(CAS[OLD], SPEC, NOW))


@pytest.mark.parametrize(
    ("phase", "expected"), [("Trust", (OLD, NEW)), ("Reissue", (NEW, OLD)), ("Drop", (NEW,))]
)
def test_keys_that_sign_tokens_go_the_same_way(phase: Phase, expected: tuple[str, ...]) -> None:
    assert trusted(phase, OLD, NEW) == expected


def judged(
    phase: Phase, stored: CertificateAuthority | None, latched: str | None, *, absent: bool
) -> tuple[CAAction, CAReason | None, str]:
    known = Rotation(OLD, phase, OLD, latched)
    found = decide_next_ca(known, stored, NOW, absent=absent, name="Secret a/b")
    said = found.problem
    return found.action, said.reason if said else None, said.message if said else ""


def test_a_next_ca_that_is_gone_is_made_anew_only_while_it_has_signed_nothing() -> None:
    print_ = fingerprint(CAS[NEW].cert_pem)
    for latched in (None, print_):
        assert judged("Trust", None, latched, absent=True)[0] is CAAction.CREATE
        assert judged("Trust", CAS[NEW], latched, absent=False)[0] is CAAction.USE
    action, reason, text = judged("Reissue", None, print_, absent=True)
    assert (action, reason) == (CAAction.REFUSE, CAReason.MISSING)
    assert "another one made" not in text


def test_an_intruders_ca_or_an_empty_secret_is_refused_and_the_way_out_is_told() -> None:
    print_ = fingerprint(CAS[NEW].cert_pem)
    action, reason, text = judged("Trust", CAS[OLD], print_, absent=False)
    assert (action, reason) == (CAAction.REFUSE, CAReason.CHANGED)
    assert text.endswith("; or delete it to have another one made")
    action, reason, text = judged("Trust", None, None, absent=False)
    assert (action, reason) == (CAAction.REFUSE, CAReason.MISSING)
    assert text.startswith("Secret a/b holds no CA")
