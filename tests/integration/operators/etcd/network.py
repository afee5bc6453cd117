"""Addresses on loopback that no other test of this machine uses, be it of another test run."""

from __future__ import annotations

import itertools
import os
import socket

_numbers = itertools.count(os.getpid() * 7)


def own_network() -> tuple[socket.socket, str]:
    """The first half of addresses, such as `127.20`; ours till the socket is closed."""
    for number in itertools.islice(_numbers, 230):
        name = f"127.{20 + number % 230}"
        claim = socket.socket(socket.AF_UNIX)
        try:
            # An abstract name: the kernel takes it back with the process, however that ends.
            claim.bind(f"\0kok-test-network-{name}")
        except OSError:
            claim.close()
        else:
            return claim, name
    raise RuntimeError("too many tests at the same time: each needs a network of its own")
