"""Whether the host that answers is the one on which a Machine was installed. Pure.

Of a host somebody may change the SSH port and rotate the key, and a Machine goes on with it. Behind
another port of the same address, as of a NAT, or behind another bastion, there may as well be another
box: that is neither
installed on nor cleaned up in the place of the one that was used, which would go on as a node with
its keys and be forgotten.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from kok.api.machine.access import PORT
from kok.api.machine.machine import HostPlace
from kok.api.names import ANNOTATION_ABANDON_HOST, ANNOTATION_TRUST_HOST_KEY
from kok.kube.objects import addresses
from kok.operators.machine.remote.ssh import Expected, Target


class HostMatch(Enum):
    """What is known of a host by its address, port and key."""

    SAME = "it is the host that was used"
    REKEYED = "it has another key: it was reinstalled, or is another one unless it bears the mark"
    OTHER = "it has another way and another key: it is another one unless it bears the mark"
    ELSEWHERE = "it is at another address"


class Place(Protocol):
    """Where a host was."""

    @property
    def address(self) -> str | None:
        """Name or address; None: that was not written down."""

    @property
    def port(self) -> int | None:
        """SSH port."""

    @property
    def jump(self) -> str | None:
        """Where the bastion was behind which it was, or nothing; None: that was not written down."""

    @property
    def host_key(self) -> str | None:
        """Fingerprint; None: that was not written down."""


Spot = tuple[str, int, str, str]
"""Address and SSH port of a host, and of the bastion behind which it is."""


def canonical(address: str) -> str:
    """An address as it can be compared: all spellings of an IP address are one, and of a name."""
    found = addresses.address(address)
    return str(found.network_address) if found is not None else address.rstrip(".").lower()


def spot(address: str, port: int, behind: str) -> Spot:
    """Where a host is, as it can be compared: behind another bastion the same address is another host.

    `behind` is the place of the bastion, in the one text of `Bastion.place`.
    """
    bastion, _, its_port = behind.partition(" port ")
    return canonical(address), port, canonical(bastion), its_port or str(PORT)


def compare(
    was: Place | None, address: str, port: int, want: Expected, behind: str = ""
) -> HostMatch:
    """Whether a host at this address and port, behind this bastion, that shows the key that is wanted
    is the one of then.

    An annotation that trusts a key says that the host was reinstalled: nothing of then is left.
    """
    if was is None or was.address is None:
        return HostMatch.SAME
    if canonical(address) != canonical(was.address):
        return HostMatch.ELSEWHERE
    there = was.port or PORT, behind if was.jump is None else was.jump
    moved = spot(address, port, behind) != spot(address, *there)
    if was.host_key is None:
        return HostMatch.ELSEWHERE if moved else HostMatch.SAME
    if want.fingerprint == was.host_key:
        return HostMatch.SAME
    if moved:
        return HostMatch.OTHER
    return HostMatch.SAME if want.source == "annotation" else HostMatch.REKEYED


def place_of(target: Target) -> HostPlace:
    """The host of a target, for the record."""
    return HostPlace(
        address=target.address,
        port=target.port,
        jump=target.behind,
        host_key=target.expected.fingerprint or "",
    )


def replaced(was: HostPlace | None, place: HostPlace) -> str | None:
    """A sentence, if something is to be installed on a host with another key than before."""
    if was is None or was.host_key == place.host_key:
        return None
    return (
        f"host {place.address} has key {place.host_key} in the place of {was.host_key} and does not "
        "bear the mark of the Machine, so that all is installed anew; if it was not reinstalled but "
        "is another one, the earlier host is still to be cleaned up by hand: stop its pods, uninstall "
        "what lies in /var/lib/kok/components, remove /var/lib/kok"
    )


def told(was: Place, port: int, want: Expected, behind: str = "") -> str:
    """The beginning of a sentence on a host that is not the one of then."""
    return (
        f"it was installed on the host at {was.address}, port {was.port}{behind_bastion(was.jump)}, with key "
        f"{was.host_key}; spec names port {port}{behind_bastion(behind)} and key {want.fingerprint}, and what "
        "is there does not bear its mark"
    )


def behind_bastion(behind: str | None) -> str:
    """The same for sentences; nothing if there is no bastion, or none is known."""
    return f", behind bastion {behind}" if behind else ""


def fields(was: Place, behind: str, of: str = "") -> str:
    """What of a spec says which host it is, beside its address."""
    names = ("port", "ssh.jump", "hostKey") if was.jump or behind else ("port", "hostKey")
    *first, last = (f"{of}{name}" for name in names)
    return f"{', '.join(first)} and {last}"


def uncleaned(was: Place, port: int, want: Expected, behind: str = "") -> str:
    """A sentence on why that host is not cleaned up, and what to do."""
    again = (
        f"; if the host was reinstalled, annotate with {ANNOTATION_TRUST_HOST_KEY}={want.fingerprint}"
        if port == was.port
        else ""
    )
    return (
        f"{told(was, port, want, behind)}: write {fields(was, behind)} as they were{again}; if it is gone "
        "for ever, "
        f"annotate with {ANNOTATION_ABANDON_HOST}=true"
    )
