"""Getting a connection: the host key judged first, then the login, nothing of our own account."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncssh

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.operators.machine.remote.ssh import hostkey
from kok.operators.machine.remote.ssh.address_ranges import ANYWHERE, Bounds
from kok.operators.machine.remote.ssh.connection import Connection, Target, Timeouts
from kok.operators.machine.remote.ssh.errors import (
    HostError,
    HostFloods,
    HostForbidden,
    HostKeyChanged,
    HostSilent,
    HostUnreachable,
    LoginRefused,
)
from kok.operators.machine.remote.ssh.inbound import BEFORE_LOGIN, Line
from kok.operators.machine.remote.ssh.login_rate import Pacing, Place, Visit
from kok.operators.machine.remote.ssh.sentences import gist, refused, unreachable

_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Kinds of host keys, the preferred first; a host may have one of each."""
_ALGORITHMS = tuple(name for family in _FAMILIES for name in family)
_EXCHANGES = (
    "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256",
    "mlkem1024nistp384-sha384",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
)
"""How keys are exchanged. Where the host may choose a prime, or its length, one exchange can stop the
operator for seconds; the others of that kind are only slow, and every sshd knows one of these."""


_SIGNATURES = ("ssh-ed25519", "ssh-ed448", *_ALGORITHMS[1:])
"""How we prove who we are, by a key of any of these kinds; never by SHA-1."""

Through = Callable[[str, int, Visit | None], Awaitable[Line]]
"""How a host behind a bastion is connected to. Raises `HostError`."""


async def scan(
    address: str,
    port: int,
    timeouts: Timeouts,
    *,
    family: int | None = None,
    bounds: Bounds = ANYWHERE,
    visit: Visit | None = None,
    through: Through | None = None,
) -> str:
    """The fingerprint (`SHA256:...`) of the key that a host shows; nothing is sent to it.

    `family` restricts it to one kind of key, `bounds` to hosts at some addresses, `visit`
    to when that is due; `through` leads there by a bastion. Raises `HostUnreachable`,
    `HostSilent`, `HostFloods`, `HostForbidden` or `HostHeld`.
    """
    algorithms = _ALGORITHMS if family is None else _FAMILIES[family]
    place = address if port == 22 else f"{address} port {port}"
    line = await _Route(bounds, visit, through).line(address, port, timeouts.connect)
    try:
        async with asyncio.timeout(timeouts.login):
            key = await asyncssh.get_server_host_key(
                address,
                port,
                tunnel=line,
                config=None,
                kex_algs=_EXCHANGES,
                server_host_key_algs=algorithms,
            )
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise _failed(place, line, error) from error
    if key is None:
        raise HostUnreachable(f"host {place} shows no host key; check that sshd runs there")
    return key.get_fingerprint("sha256")


@dataclass(frozen=True, slots=True)
class _Route:
    """How a host is connected to."""

    bounds: Bounds
    visit: Visit | None
    through: Through | None

    async def line(self, address: str, port: int, limit: float) -> Line:
        """A TCP connection within so many seconds, unless it is the bastion that takes its time.

        Raises `HostError`.
        """
        if self.through is not None:
            return await self.through(address, port, self.visit)
        try:
            async with asyncio.timeout(limit):
                return Line(await dial(address, port, self.bounds, self.visit))
        except (OSError, TimeoutError) as error:
            place = address if port == 22 else f"{address} port {port}"
            raise unreachable(place, error) from error


async def dial(
    address: str, port: int, bounds: Bounds, visit: Visit | None = None
) -> socket.socket:
    """A TCP connection to the first address behind a name that may be asked and takes it.

    A name is looked up once: what is judged is what is connected to. Raises `OSError`, and
    `HostForbidden` if there is no address that may be asked, `HostHeld` if it is not the time to.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    good = [info for info in found if bounds.takes(str(info[4][0]))]
    if not good:
        places = ", ".join(sorted({str(info[4][0]) for info in found}))
        raise HostForbidden(
            f"host {address} is at {places}, where the administrator of the meta cluster allows no "
            f"hosts; {bounds}"
        )
    failed: OSError | None = None
    for family, kind, protocol, _, place in good:
        if visit is not None:
            visit.begin(str(place[0]), port)
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, place)
        except BaseException as error:
            made.close()
            if visit is not None:
                visit.unheard()
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            return made
    raise failed or OSError(f"{address} has no address")


async def connect(
    target: Target,
    timeouts: Timeouts,
    bounds: Bounds = ANYWHERE,
    visit: Visit | None = None,
    through: Through | None = None,
) -> Connection:
    """Logs in. Raises `HostError`; `HostKeyChanged` before anything was sent to the host.

    All that it takes is one `visit`.
    """
    if target.expected.fingerprint is None:
        raise ValueError("a host key has to be recorded before anybody logs in")
    route = _Route(bounds, visit, through)
    line = await route.line(target.address, target.port, timeouts.connect)
    try:
        return await _connect(target, timeouts, _ALGORITHMS, line)
    except HostKeyChanged as changed:
        # The expected key may be of a kind that the host has but does not prefer.
        for family, algorithms in enumerate(_FAMILIES):
            with suppress(HostUnreachable, HostSilent):
                found = await scan(
                    target.address,
                    target.port,
                    timeouts,
                    family=family,
                    bounds=bounds,
                    visit=visit,
                    through=through,
                )
                if found == target.expected.fingerprint:
                    line = await route.line(target.address, target.port, timeouts.connect)
                    return await _connect(target, timeouts, algorithms, line)
        raise changed from None


async def _connect(
    target: Target,
    timeouts: Timeouts,
    algorithms: Sequence[str],
    line: Line,
) -> Connection:
    guard = _Guard(target.expected.fingerprint or "")
    keys = target.credentials.key
    try:
        connection = await asyncssh.connect(
            target.address,
            target.port,
            tunnel=line,
            username=target.user,
            client_keys=[keys] if keys is not None else None,
            password=target.credentials.password,
            client_factory=lambda: guard,
            # Empty, not None: every key is then put to the guard.
            known_hosts=([], [], []),
            server_host_key_algs=algorithms,
            kex_algs=_EXCHANGES,
            signature_algs=_SIGNATURES,
            # Nothing of the account that the operator runs under may play a part.
            config=None,
            agent_path=None,
            gss_host=None,
            connect_timeout=timeouts.connect,
            login_timeout=timeouts.login,
            keepalive_interval=timeouts.keepalive,
            keepalive_count_max=3,
            compression_algs=None,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        if not guard.found:
            raise HostUnreachable(f"host {target.place}: {gist(error)}") from error
        sentence = hostkey.changed(target.place, guard.found, target.expected)
        raise HostKeyChanged(sentence, guard.found) from None
    except asyncssh.PermissionDenied as error:
        raise LoginRefused(
            refused(target.place, target.user, target.secret, target.credentials)
        ) from error
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise _failed(target.place, line, error) from error
    line.opened()
    made = Connection(connection, target, timeouts, line)
    guard.ended = made.note_end
    return made


def _failed(place: str, line: Line, error: Exception) -> HostError:
    if line.flooded:
        return HostFloods(
            f"host {place} sends more than {BEFORE_LOGIN >> 10} KiB before anybody is logged in; "
            "look what listens there, and for a long Banner of its sshd"
        )
    return unreachable(place, error)


@dataclass(frozen=True, slots=True)
class LetIn:
    """Where, as whom and by which host key a login went through: at the same address there may be
    somebody else's host by now."""

    place: Place
    who: tuple[str, str, str | None]


class Logins:
    """Logs in when it is one's turn; who was let in the last time always has it."""

    def __init__(self, timeouts: Timeouts, bounds: Bounds, monotonic: Callable[[], float]) -> None:
        self.timeouts = timeouts
        self.bounds = bounds
        self._monotonic = monotonic
        # A login comes right after the first look at the key: they take turns apart.
        self._scans, self._logins = Pacing(), Pacing()

    async def scan(self, address: str, port: int, through: Through | None = None) -> str:
        """The fingerprint of the key that a host shows. Raises `HostError`."""
        visit = Visit(self._scans, self._monotonic, NAMESPACE.get())
        return await scan(
            address, port, self.timeouts, bounds=self.bounds, visit=visit, through=through
        )

    async def connect(
        self, target: Target, before: LetIn | None, through: Through | None = None
    ) -> tuple[Connection, LetIn | None]:
        """A connection, and what to hand in as `before` the next time. Raises `HostError`; after
        `LoginRefused` and `HostKeyChanged` nothing of before counts."""
        who = (target.user, target.credentials.digest, target.expected.fingerprint)
        known = before.place if before is not None and before.who == who else None
        visit = Visit(self._logins, self._monotonic, target.namespace, known)
        try:
            made = await connect(target, self.timeouts, self.bounds, visit, through)
        except (LoginRefused, HostKeyChanged):
            visit.refused()
            raise
        # Who had no need of a turn opens none to strangers.
        if visit.place is None or visit.place == known:
            return made, before
        for pacing in (self._scans, self._logins):
            pacing.let_in(visit.place, target.namespace, self._monotonic())
        return made, LetIn(visit.place, who)


class _Guard(asyncssh.SSHClient):
    """Accepts one host key. Asked during the key exchange, before the login begins."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self.found = ""
        self.ended: Callable[[], None] = lambda: None
        """Called when the connection is over."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the connection is over, whyever; tells `ended`."""
        del exc
        self.ended()

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Whether it is the expected key."""
        del host, addr, port
        self.found = key.get_fingerprint("sha256")
        return secrets.compare_digest(self.found, self._fingerprint)
