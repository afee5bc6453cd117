"""What can go wrong between the operator and a host, each with its reason and a sentence."""

from __future__ import annotations

from kok.kube.errors import cut
from kok.operators.machine import reasons
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE


class HostError(Exception):
    """Something that keeps the operator from working on a host; a sentence for a condition."""

    reason = reasons.HOST_UNREACHABLE

    def __init__(self, message: str) -> None:
        # A host has a say in it, and conditions and status have their limits.
        message = cut(message)
        super().__init__(message)
        self.message = message


class HostUnreachable(HostError):
    """No SSH connection could be made."""


class HostForbidden(HostError):
    """The administrator of the meta cluster allows no hosts at that address."""

    reason = reasons.FORBIDDEN_BY_POLICY


class HostSilent(HostError):
    """The host took the connection but stopped answering."""

    reason = reasons.HOST_SILENT


class HostFloods(HostError):
    """The host answers with more than is taken from it."""

    reason = ANSWER_TOO_LARGE


class HostKeyChanged(HostError):
    """Another key than the expected one was shown; nothing else was sent."""

    reason = reasons.HOST_KEY_CHANGED

    def __init__(self, message: str, found: str) -> None:
        super().__init__(message)
        self.found = found


class LoginRefused(HostError):
    """The host did not take the credentials."""

    reason = reasons.LOGIN_REFUSED


class HostHeld(HostError):
    """Nothing was tried: others, or earlier ones, come first at that address."""

    reason = reasons.LOGIN_WAITS

    def __init__(self, message: str, after: float) -> None:
        """`after` so many seconds it may be tried."""
        super().__init__(message)
        self.after = after


class SudoRefused(HostError):
    """The user may not become root."""

    reason = reasons.SUDO_REFUSED


class ScriptFailed(HostError):
    """A script of ours ended with an error; `code` is its exit code, -1 if that is unknown."""

    reason = reasons.SCRIPT_FAILED

    def __init__(self, message: str, code: int, output: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.output = output
