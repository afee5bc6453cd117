"""One signer gives way to another one, and nobody is refused meanwhile: of a CA, or of keys for tokens.

    Trust     both are trusted; the earlier one signs
    Reissue   both are trusted; the next one signs
    Drop      the next one signs, and alone is trusted
    Done      it has taken the place of the earlier one

A phase has two halves. First, what is handed out (the Secrets) becomes as the phase wants it, piece
by piece. Once all of it was seen to have changed, that is announced, and whoever reads it only at
its start is restarted. When all have what was announced, and not before, the next phase begins.
Whatever dies meanwhile comes back with what one of two phases in a row hands out, and these trust
each other. This holds because in Trust everybody learns of the next signer before it has signed
anything, and in Reissue everything is signed anew before the earlier one is forgotten.

Pure values and functions. The owner records a `Rotation` before it does anything by it, tells the
`Facts`, and records what a `Step` makes of it. Signers are told apart by their fingerprints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, TypeVar

from kok.pki.authority import CertificateAuthority
from kok.pki.trust import CAAction, CADecision, CAProblem, CAReason, decide_ca

T = TypeVar("T")
Phase: TypeAlias = Literal["Trust", "Reissue", "Drop", "Done"]
AFTER: dict[Phase, Phase] = {"Trust": "Reissue", "Reissue": "Drop", "Drop": "Done"}
_SHOWN = 12
"""Hexadecimal digits of a fingerprint that tell rotations apart."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What is recorded of the signers of one kind; fingerprints as `kok.pki.fingerprint` makes them."""

    current: str | None = None
    """The one in use; until `Drop` the earlier one, and then the next one."""
    phase: Phase | None = None
    """None where there never was a rotation."""
    previous: str | None = None
    """The one that goes."""
    next: str | None = None
    """The one that comes; None until it is made."""
    announced: str = ""
    """The token of what was handed out to everybody, as of the latest announcement."""

    @property
    def under_way(self) -> bool:
        """Whether a rotation has yet to come to its end."""
        return self.phase not in {None, "Done"}

    def token(self, phase: Phase | None = None) -> str:
        """What is announced when all is handed out as a phase, by default the present one, wants it.

        The last phase and what comes after it are the same to everybody.
        """
        shown = (self.next or "").removeprefix("sha256:")[:_SHOWN]
        at = phase or self.phase
        return f"{'Drop' if at == 'Done' else at}-{shown}"

    @property
    def is_announced(self) -> bool:
        """Whether the first half of the present phase is over."""
        if self.phase is None:
            return True
        return self.next is not None and self.announced == self.token()

    @property
    def mark(self) -> str:
        """What tells apart those who read only at their start; a fingerprint but for a rotation.

        It changes only when all is handed out: who starts anew then has what its mark says.
        """
        if not self.announced or self.announced.startswith("Drop-"):
            return self.current or ""
        return self.announced

    @property
    def kin(self) -> frozenset[str]:
        """Marks of those who trust each other: those of all phases of one rotation.

        Each phase begins when all have arrived in the one before.
        """
        if not self.previous or not self.next or self.current not in {self.previous, self.next}:
            return frozenset({self.current or ""})
        between = (self.token("Trust"), self.token("Reissue"))
        return frozenset({self.previous, *between, self.next})


class Facts(Protocol):
    """What the owner sees; each is asked only where it counts, as some take long to find out."""

    @property
    def wanted(self) -> bool:
        """Whether a rotation is asked for that was not taken up yet."""
        ...

    @property
    def in_place(self) -> bool:
        """Whether all that is handed out was seen to be as the present phase wants it: what is to be
        trusted, and everything that is signed.
        """
        ...

    @property
    def settled(self) -> bool:
        """Whether all whom the owner restarts itself are well and run with what was announced."""
        ...

    @property
    def confirmed(self) -> bool:
        """Whether all others have confirmed that they run with what was announced."""
        ...


# --- the steps


@dataclass(frozen=True, slots=True)
class Enter:
    """A phase begins."""

    phase: Phase

    def of(self, before: Rotation) -> Rotation:
        """What is to be recorded, before anything is done by it."""
        if self.phase == "Trust":
            return Rotation(before.current, "Trust", before.current, announced=before.announced)
        current = before.next if self.phase == "Drop" else before.current
        return replace(before, phase=self.phase, current=current)


@dataclass(frozen=True, slots=True)
class Announce:
    """All is handed out: whoever reads only at its start is to be restarted."""

    token: str

    def of(self, before: Rotation) -> Rotation:
        """What is to be recorded; nobody may be restarted before."""
        return replace(before, announced=self.token)


Step: TypeAlias = Enter | Announce


def next_step(rotation: Rotation, facts: Facts) -> Step | None:
    """What comes next; None where there is nothing, or where something is waited for."""
    if not rotation.is_announced:
        return Announce(rotation.token()) if facts.in_place else None
    if rotation.phase is None or not rotation.under_way:
        return Enter("Trust") if facts.wanted and facts.settled else None
    if facts.settled and facts.confirmed and facts.in_place:
        return Enter(AFTER[rotation.phase])
    return None


def made(rotation: Rotation, following: str | None) -> Rotation:
    """The next signer was made; or, with None, one that was recorded is gone, and another is made.

    It is recorded before anybody is told to trust it.
    """
    return replace(rotation, next=following)


def replaced_at_once(rotation: Rotation, by: str) -> Rotation:
    """Another signer takes over without phases, by its user's word: a rotation ends with it.

    All refuse each other until they have it. It is announced like the end of any other rotation.
    """
    return Rotation(by, "Done", next=by, announced=rotation.announced)


# --- what a phase hands out


def trusted(phase: Phase, earlier: T, following: T) -> tuple[T, ...]:
    """Whom everybody is to trust in a phase; the first one signs.

    What tells signers apart is the caller's: fingerprints, CAs, key pairs.
    """
    if phase == "Trust":
        return earlier, following
    return (following, earlier) if phase == "Reissue" else (following,)


def authority(
    phase: Phase, earlier: CertificateAuthority, following: CertificateAuthority
) -> CertificateAuthority:
    """The CA that signs in a phase, with a bundle of whom everybody is to trust."""
    signer, *others = trusted(phase, earlier, following)
    bundle = b"".join(other.cert_pem for other in others)
    return CertificateAuthority(signer.cert_pem, signer.key_pem, bundle)


def decide_next_ca(
    rotation: Rotation,
    stored: CertificateAuthority | None,
    now: datetime,
    *,
    absent: bool,
    name: str,
) -> CADecision:
    """Use, create or refuse: as `decide_ca`, of the CA that comes.

    `stored` is what its Secret holds, `absent` whether there is no such Secret. While nothing is
    signed by it, one that is gone may be made anew: nobody needs it yet. `name` begins the sentences.
    """
    first = rotation.phase == "Trust"
    if absent and first:
        return CADecision(CAAction.CREATE)
    cert, key = (stored.cert_pem, stored.key_pem) if stored is not None else (None, None)
    found = decide_ca(cert, key, now, latched_fingerprint=rotation.next, name=name)
    if found.action is CAAction.USE:
        return found
    said = found.problem or CAProblem(CAReason.MISSING, f"{name} holds no CA")
    way_out = "; or delete it to have another one made" if first else ""
    return CADecision(CAAction.REFUSE, CAProblem(said.reason, said.message + way_out))
