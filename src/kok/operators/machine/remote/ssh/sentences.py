"""What people are told when a host cannot be worked on. Pure."""

from __future__ import annotations

import os

import asyncssh

from kok.operators.machine.remote.ssh.credentials import PASSWORD, SUDO_PASSWORD, Credentials
from kok.operators.machine.remote.ssh.errors import HostError, HostSilent, HostUnreachable


def refused(place: str, user: str, secret: str, given: Credentials) -> str:
    """A host that does not take the credentials of a Secret."""
    tried = [w for w, v in (("private key", given.key), ("password", given.password)) if v]
    return (
        f"host {place} refuses user {user} with the {' and the '.join(tried)} of "
        f"Secret {secret}; correct the Secret or the user, or let the host accept them"
    )


def not_root(place: str, user: str, said: str) -> str:
    """A user whom sudo does not make root: what sudo says decides what has to be changed."""
    told = said.lower()
    problem = f"user {user} may not become root on host {place} ({last_line(said)})"
    if "tty" in told or "terminal" in told:
        # Asked by `Defaults requiretty`. Where it wants to read a password it speaks of one as well.
        if "password" not in told:
            return (
                f'{problem}; take "requiretty" back for that user by a line '
                f'"Defaults:{user} !requiretty" in /etc/sudoers.d, or log in as root'
            )
    elif "no new privileges" in told or "setuid" in told or "effective uid" in told:
        return f"{problem}; sudo cannot work there at all: log in as root"
    elif "not found" in told or "no such file" in told:
        return f"{problem}; install sudo, or log in as root"
    elif "syntax error" in told or "parse error" in told:
        return f"{problem}; correct the file with visudo, or log in as root"
    elif "expired" in told:
        return f"{problem}; renew the account or its password, or log in as root"
    return (
        f'{problem}; allow it by a line "{user} ALL=(ALL) NOPASSWD: ALL" in /etc/sudoers.d, give sudo '
        f'its password by key "{SUDO_PASSWORD}" of the Secret, or log in as root'
    )


def wrong_password(place: str, user: str, secret: str) -> str:
    """A password that sudo does not take."""
    return (
        f"sudo on host {place} does not take the password that Secret {secret} holds for user {user}; "
        f'correct its key "{SUDO_PASSWORD}", or "{PASSWORD}" if there is no such key'
    )


def no_session(place: str, said: str) -> str:
    """A host that lets one in and then runs nothing."""
    return (
        f"host {place} lets one log in but opens no session ({said}); it is tried anew, and if that "
        "does not help, set MaxSessions of its sshd to 1 or more"
    )


def not_passed_on(bastion: str, place: str, error: Exception) -> HostError:
    """The exception for a connection that a bastion did not make."""
    if isinstance(error, TimeoutError):
        return HostSilent(
            f"host {place} does not answer to bastion {bastion}; check that it runs and that no "
            "firewall stands between"
        )
    code = error.code if isinstance(error, asyncssh.ChannelOpenError) else 0
    if code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return HostUnreachable(
            f"bastion {bastion} does not pass connections on to host {place} ({gist(error)}); allow it "
            "by AllowTcpForwarding and PermitOpen of its sshd"
        )
    return HostUnreachable(
        f"bastion {bastion} cannot reach host {place}: {gist(error)}; check address, port, network "
        "and that sshd runs there"
    )


def unreachable(place: str, error: Exception) -> HostError:
    """The exception for a connection that could not be made."""
    if isinstance(error, TimeoutError) or "imeout" in str(error):
        return HostSilent(
            f"host {place} does not answer over SSH; check that it runs and that no firewall "
            "stands between"
        )
    return HostUnreachable(
        f"host {place} cannot be reached over SSH: {gist(error)}; check address, port, network "
        "and that sshd runs"
    )


def gist(error: Exception) -> str:
    """What an error says, in a few words."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason = getattr(error, "reason", "") or str(error) or type(error).__name__
    return last_line(str(reason))


def last_line(text: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
