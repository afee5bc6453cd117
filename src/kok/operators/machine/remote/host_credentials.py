"""With what to log in to a host, where the administrator of the meta cluster allows it."""

from __future__ import annotations

import asyncio

from kok.api.machine.access import SSHAccess
from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.addresses import address
from kok.operators.machine import reasons
from kok.operators.machine.remote.ssh import (
    Credentials,
    CredentialsError,
    Expected,
    Keyring,
    Target,
)
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
        where = (spec.address, "spec.address")
        return await self._of(owner.namespace, where, spec.ssh.secret, "spec.ssh.secret", secret)

    async def bastion(
        self, owner: Machine | Host, secret: Manifest | None
    ) -> Target | Verdict | None:
        """The bastion of the object, with what the Secret holds that is for it, or why only people
        can say how to get through it; None: there is none."""
        spec, jump = owner.spec, owner.spec.ssh.jump
        if jump is None:
            return None
        where = (jump.address, "spec.ssh.jump.address")
        name, field = jump.secret or spec.ssh.secret, "spec.ssh.jump.secret"
        found = await self._of(owner.namespace, where, name, field, secret)
        if isinstance(found, Verdict):
            return found
        if address(spec.address) is None:
            # The API server refuses that, but for what was stored before.
            text = f"spec.address: {spec.address} is a name; behind a bastion write an IP address"
            return Verdict(False, reasons.FORBIDDEN_BY_POLICY, text)
        return Target(
            address=jump.address,
            port=jump.port,
            user=jump.user,
            secret=f"{owner.namespace}/{name}",
            credentials=found,
            expected=Expected(jump.host_key, "jump"),
        )

    async def _of(
        self,
        namespace: str,
        where: tuple[str, str],
        name: str,
        field: str,
        secret: Manifest | None,
    ) -> Credentials | Verdict:
        """`where` is an address, and the field where it is written, as `name` is in `field`."""
        forbidden = wrong_ssh_address(self._policies, *where)
        if forbidden is None and secret is not None:
            forbidden = wrong_ssh_secret(self._policies, secret, field)
        if forbidden is not None:
            return Verdict(False, reasons.FORBIDDEN_BY_POLICY, forbidden)
        if secret is None:
            return Verdict(False, reasons.SECRET_MISSING, missing(namespace, name))
        try:
            return await self._keyring.credentials(secret)
        except CredentialsError as error:
            return Verdict(False, reasons.SECRET_INVALID, str(error))


def secrets_of(ssh: SSHAccess) -> tuple[str, str | None]:
    """The names of the Secrets for a host and for its bastion; None: there is no bastion."""
    return ssh.secret, None if ssh.jump is None else ssh.jump.secret or ssh.secret


async def read_secrets(
    kube: Kube, namespace: str, ssh: SSHAccess
) -> tuple[Manifest | None, Manifest | None]:
    """Both Secrets, as far as they are there, and one if it is the same. Raises `KubeError`."""
    name, jump = secrets_of(ssh)
    if jump in (None, name):
        secret = await kube.get(kinds.SECRET, name, namespace)
        return secret, secret if jump is not None else None
    first, second = await asyncio.gather(
        kube.get(kinds.SECRET, name, namespace), kube.get(kinds.SECRET, jump, namespace)
    )
    return first, second
