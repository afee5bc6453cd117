"""Whether the host that answers is the one on which a Machine was installed. Pure.

Of a host somebody may change the SSH port and rotate the key, and a Machine goes on with it. Behind
another port of the same address, as of a NAT, there may as well be another box: that is neither
installed on nor cleaned up in the place of the one that was used, which would go on as a node with
its keys and be forgotten.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from kok.api.machine.machine import HostPlace
from kok.api.names import ANNOTATION_ABANDON_HOST, ANNOTATION_TRUST_HOST_KEY
from kok.kube.objects import addresses
from kok.operators.machine.remote.ssh import Expected, Target


class HostMatch(Enum):
    """What is known of a host by its address, port and key."""

    SAME = "it is the host that was used"
    REKEYED = "it has another key: it was reinstalled, or is another one unless it bears the mark"
    OTHER = "it has another port and another key: it is another one unless it bears the mark"
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
    def host_key(self) -> str | None:
        """Fingerprint; None: that was not written down."""


def canonical(address: str) -> str:
    """An address as it can be compared: all spellings of an IP address are one, and of a name."""
    found = addresses.address(address)
    return str(found.network_address) if found is not None else address.rstrip(".").lower()


def compare(was: Place | None, address: str, port: int, want: Expected) -> HostMatch:
    """Whether a host at this address and port that shows the key that is wanted is the one of then.

    An annotation that trusts a key says that the host was reinstalled: nothing of then is left.
    """
    if was is None or was.address is None:
        return HostMatch.SAME
    if canonical(address) != canonical(was.address):
        return HostMatch.ELSEWHERE
    if was.host_key is None:
        return HostMatch.SAME if port == was.port else HostMatch.ELSEWHERE
    if want.fingerprint == was.host_key:
        return HostMatch.SAME
    if port != was.port:
        return HostMatch.OTHER
    return HostMatch.SAME if want.source == "annotation" else HostMatch.REKEYED


def place_of(target: Target) -> HostPlace:
    """The host of a target, for the record."""
    return HostPlace(
        address=target.address, port=target.port, host_key=target.expected.fingerprint or ""
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


def told(was: Place, port: int, want: Expected) -> str:
    """The beginning of a sentence on a host that is not the one of then."""
    return (
        f"it was installed on the host at {was.address}, port {was.port}, with key {was.host_key}; "
        f"spec names port {port} and key {want.fingerprint}, and what is there does not bear its mark"
    )


def uncleaned(was: Place, port: int, want: Expected) -> str:
    """A sentence on why that host is not cleaned up, and what to do."""
    again = (
        f"; if the host was reinstalled, annotate with {ANNOTATION_TRUST_HOST_KEY}={want.fingerprint}"
        if port == was.port
        else ""
    )
    return (
        f"{told(was, port, want)}: write port and hostKey as they were{again}; if it is gone for ever, "
        f"annotate with {ANNOTATION_ABANDON_HOST}=true"
    )
