"""From an object to a host that one is logged in to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, connected, named, namespace_of
from kok.kube.decoding.truncation import FREE_FORM
from kok.operators.machine.machine.view import expected_key
from kok.operators.machine.remote.host_credentials import HostCredentials, read_secrets
from kok.operators.machine.remote.ssh import (
    Connection,
    Connections,
    Credentials,
    Expected,
    HostError,
    Target,
    Timeouts,
)
from kok.runtime.conditions import Verdict
from kok.runtime.policy import Policies
from kok.runtime.sandbox.pool import SandboxPool

Login = tuple[Credentials, Target | None]
"""What proves who one is, and the bastion if there is one."""


async def login(
    obj: Machine | Host, secret: Manifest | None, jump: Manifest | None
) -> Login | Verdict:
    """How to log in to the host of an object, or why that is not known.

    What an administrator forbids the operators binds nobody at his own computer.
    """
    policies = Policies(forbidden_ranges=(), allowed_ssh_ranges=None, ssh_secrets_labelled=False)
    credentials = HostCredentials(policies, SandboxPool())
    found, bastion = await credentials.of(obj, secret), await credentials.bastion(obj, jump)
    if isinstance(found, Verdict):
        return found
    return bastion if isinstance(bastion, Verdict) else (found, bastion)


def target(obj: Machine | Host, given: Login, expected: Expected) -> Target:
    """Where and as whom to log in, and which key the host must show."""
    credentials, bastion = given
    return Target(
        address=obj.spec.address,
        port=obj.spec.port,
        user=obj.spec.ssh.user,
        secret=f"{obj.namespace}/{obj.spec.ssh.secret}",
        credentials=credentials,
        expected=expected,
        jump=bastion,
    )


@asynccontextmanager
async def connections() -> AsyncIterator[Connections]:
    """All that are made meanwhile; they end with it."""
    made = Connections(Timeouts(), asyncio.get_running_loop().time)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def host_of(
    name: str, namespace: str | None, options: KubectlOptions
) -> AsyncIterator[Connection]:
    """The host of a Machine, whose key is checked. Raises `KubeError`."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        found = await named(kube, Machine.info.kind, name, where, unread=FREE_FORM)
        machine = Machine.parse(found)
        given = await login(machine, *await read_secrets(kube, where, machine.spec.ssh))
    if isinstance(given, Verdict):
        raise Refused(given.message)
    want = expected_key(machine, machine.status)
    if want.fingerprint is None:
        raise Refused(
            f"the host key of Machine {where}/{name} is not known yet; wait for the operator to "
            "record it, or write spec.hostKey"
        )
    async with connections() as made:
        with told():
            yield await made.get(name, target(machine, given, want))


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong with a host ends the command with its sentence."""
    try:
        yield
    except HostError as error:
        raise Refused(error.message) from None
