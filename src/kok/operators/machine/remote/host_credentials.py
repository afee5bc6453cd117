"""With what to log in to a host, where the administrator of the meta cluster allows it."""

from __future__ import annotations

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.operators.machine import reasons
from kok.operators.machine.remote.ssh import Credentials, CredentialsError, Keyring
from kok.operators.machine.remote.ssh.credentials import missing
from kok.runtime.conditions import Verdict
from kok.runtime.policy import Policies, wrong_ssh_address, wrong_ssh_secret
from kok.runtime.sandbox.pool import SandboxPool


class HostCredentials:
    """Credentials for hosts, by the policies of the administrator."""

    def __init__(self, policies: Policies, sandboxes: SandboxPool) -> None:
        self._policies = policies
        self._keyring = Keyring(sandboxes)

    async def of(self, owner: Machine | Host, secret: Manifest | None) -> Credentials | Verdict:
        """Those in the Secret that the object names, or why only people can give them."""
        spec = owner.spec
        forbidden = wrong_ssh_address(self._policies, spec.address, "spec.address")
        if forbidden is None and secret is not None:
            forbidden = wrong_ssh_secret(self._policies, secret, "spec.ssh.secret")
        if forbidden is not None:
            return Verdict(False, reasons.FORBIDDEN_BY_POLICY, forbidden)
        if secret is None:
            return Verdict(False, reasons.SECRET_MISSING, missing(owner.namespace, spec.ssh.secret))
        try:
            return await self._keyring.credentials(secret)
        except CredentialsError as error:
            return Verdict(False, reasons.SECRET_INVALID, str(error))
