"""A program without a way to the network, whatever it is told to do.

Rights to namespaces of its own are what few pods have. A filter of system calls is something that
every process may set for itself and what it starts (seccomp(2)), and `socket` is the one call that
any way to any network begins with.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

_NO_NEW_PRIVS: Final = 38
_SET_SECCOMP: Final = 22
_FILTER: Final = 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCHITECTURE, _NUMBER = 4, 0
"""Where they stand in what a filter looks at, `struct seccomp_data`."""
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EACCES
_CALLS: Final = {"x86_64": (0xC000003E, (41, 425)), "aarch64": (0xC00000B7, (198, 425))}
"""By machine: its AUDIT_ARCH, and the numbers of `socket` and `io_uring_setup`."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_network() -> bool:
    """From now on neither this process nor any that it starts opens a socket; whether that is so.

    It is not where the kernel has no such filters, or on machines of another kind. To be called
    where there is one thread, such as between fork and exec.
    """
    known = _CALLS.get(os.uname().machine)
    if known is None:
        return False
    text = _filter(*known)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(text) // 8, text)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Refuses these calls, and all of them by programs for another machine's calls."""
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 0, len(calls) + 2, architecture)]
    steps.append((_LOAD, 0, 0, _NUMBER))
    for at, call in enumerate(calls):
        steps.append((_EQUAL, len(calls) - at, 0, call))
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
