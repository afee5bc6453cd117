"""SSH to hosts: credentials from Secrets, host keys, connections."""

from kok.operators.machine.remote.ssh.connection import Connection, Target, Timeouts
from kok.operators.machine.remote.ssh.credentials import Credentials, CredentialsError, Keyring
from kok.operators.machine.remote.ssh.errors import (
    HostError,
    HostFloods,
    HostHeld,
    HostKeyChanged,
    HostSilent,
    HostUnreachable,
    LoginRefused,
    ScriptFailed,
    SudoRefused,
)
from kok.operators.machine.remote.ssh.hostkey import Expected, expected
from kok.operators.machine.remote.ssh.pool import Connections

__all__ = [
    "Connection",
    "Connections",
    "Credentials",
    "CredentialsError",
    "Expected",
    "HostError",
    "HostFloods",
    "HostHeld",
    "HostKeyChanged",
    "HostSilent",
    "HostUnreachable",
    "Keyring",
    "LoginRefused",
    "ScriptFailed",
    "SudoRefused",
    "Target",
    "Timeouts",
    "expected",
]
