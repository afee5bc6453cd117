"""IP addresses and ranges as people write them. Pure; imports nothing that a small process minds."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Range = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = 96
"""Length of the prefix ::ffff:0:0/96, below which IPv4 addresses are written as IPv6."""
_DRESSES = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "2002::/16", "::/96", "::ffff:0:0:0/96"))
)
"""Prefixes right behind which an IPv4 address stands that packets are translated or tunnelled to:
NAT64, 6to4, IPv4-compatible and IPv4-translated addresses."""
_NOT_COMPATIBLE = frozenset({ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")})


def network(text: str) -> Range | None:
    """A range or an address as a range; an IPv4 address written as IPv6 counts as IPv4."""
    try:
        net = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    if isinstance(net, ipaddress.IPv6Network) and net.prefixlen >= _MAPPED:
        mapped = net.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), net.prefixlen - _MAPPED))
    return net


def address(host: str) -> Range | None:
    """A host that is an address, as a range; None for a name.

    Also one that is written as numbers that C libraries take for an address:

    >>> address("2852039166")
    IPv4Network('169.254.169.254/32')
    """
    text = host.strip("[]").partition("%")[0]
    if "/" in text:
        return None
    return network(text) or _by_numbers(text)


def collapsed(texts: Iterable[str]) -> list[Range]:
    """Ranges and single addresses as the fewest ranges that hold the same, IPv4 first, sorted.

    What is neither is passed over: a name in place of an address opens nothing.
    """
    found = [net for net in map(network, texts) if net is not None]
    four = [net for net in found if isinstance(net, ipaddress.IPv4Network)]
    six = [net for net in found if isinstance(net, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def within(inner: Range, outer: Range) -> bool:
    """Whether all addresses of a range are also in another."""
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def enclosing_range(host: str, texts: Iterable[str], *, dressed: bool = True) -> str | None:
    """The first of some ranges that an address lies in; None also for a name.

    `dressed`: or the IPv4 address that it leads to. For ranges that are forbidden; who asks for
    allowed ones goes by the address alone, since others may carry packets elsewhere on the way.

    >>> range_of("64:ff9b::a9fe:a9fe", ["169.254.0.0/16"])
    '169.254.0.0/16'
    """
    net = address(host)
    if net is None:
        return None
    meant = [net, *(_undressed(net) if dressed else ())]
    for text in texts:
        found = network(text)
        if found is not None and any(within(one, found) for one in meant):
            return text
    return None


def dresses(ranges: Iterable[Range]) -> list[str]:
    """The IPv6 ranges that lead to IPv4 ones."""
    four = [net for net in ranges if isinstance(net, ipaddress.IPv4Network)]
    return [_dressed(net, dress) for net in four for dress in _DRESSES]


def _dressed(net: ipaddress.IPv4Network, dress: ipaddress.IPv6Network) -> str:
    behind = int(net.network_address) << 96 - dress.prefixlen
    first = ipaddress.IPv6Address(int(dress.network_address) | behind)
    return f"{first}/{dress.prefixlen + net.prefixlen}"


def _undressed(net: Range) -> list[Range]:
    """The IPv4 addresses that an IPv6 one leads to."""
    if not isinstance(net, ipaddress.IPv6Network) or net.network_address in _NOT_COMPATIBLE:
        return []
    value = int(net.network_address)
    return [
        ipaddress.IPv4Network(value >> 96 - dress.prefixlen & 0xFFFFFFFF)
        for dress in _DRESSES
        if net.network_address in dress
    ]


def _by_numbers(text: str) -> Range | None:
    """One to four numbers, decimal, octal or hexadecimal, the last of which fills the rest."""
    parts = text.rstrip(".").split(".")
    if not 1 <= len(parts) <= 4:
        return None
    try:
        *first, last = [_number(part) for part in parts]
    except ValueError:
        return None
    if any(n > 255 for n in first) or last >= 256 ** (4 - len(first)):
        return None
    return ipaddress.IPv4Network(sum(n << 8 * (3 - at) for at, n in enumerate(first)) + last)


def _number(text: str) -> int:
    if not text.isalnum() or not text.isascii() or len(text) > 14:
        raise ValueError(text)
    if text.lower().startswith("0x"):
        return int(text, 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)
