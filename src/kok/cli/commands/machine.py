"""Commands about hosts and Machines."""

from __future__ import annotations

from typing import Annotated

import typer

from kok.api.printable import plain
from kok.cli.options import KubectlOptions, Namespace, as_kubectl, ask, fail

machine = typer.Typer(help="What concerns Machines and their hosts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MACHINE", help="Name of the Machine.")]


@machine.command(name="check")
@as_kubectl
def check_hosts(
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--filename",
            "-f",
            help="File with KubeNodes, Machines or Hosts, and Secrets that are not there yet; "
            "- is standard input; repeatable.",
        ),
    ] = None,
    *,
    address: Annotated[
        str, typer.Option("--address", help="Name or address of a host, in place of a file.")
    ] = "",
    port: Annotated[int, typer.Option("--port", help="SSH port of that host.")] = 22,
    login: Annotated[str, typer.Option("--user", help="Login name there.")] = "root",
    secret: Annotated[
        str, typer.Option("--secret", help="Secret with the SSH credentials for it.")
    ] = "",
    identity: Annotated[
        str, typer.Option("--identity", "-i", help="File with a private key, in place of a Secret.")
    ] = "",
    host_key: Annotated[
        str, typer.Option("--host-key", help="Fingerprint of its host key (SHA256:...).")
    ] = "",
    cluster: Annotated[
        str, typer.Option("--cluster", help="Cluster that Hosts and that host are for.")
    ] = "",
    namespace: Namespace = None,
    options: KubectlOptions,
) -> None:
    """Say what keeps hosts from becoming nodes, before anything is made; exits with 1 if anything does.

    The hosts are looked at from where this runs, with the rights of whoever runs it.
    """
    from kok.cli.machines import candidates  # noqa: PLC0415
    from kok.cli.machines import check as checks  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    if bool(files) == bool(address):
        fail("say which hosts: by files (-f), or by one --address")
    if address and bool(secret) == bool(identity):
        fail("say how to log in: by the name of a --secret, or by a private key (--identity)")

    def objects(where: str) -> list[dict[str, object]]:
        if not address:
            return candidates.read(files or (), where)
        host = candidates.described(
            address, where, port=port, user=login, secret=secret, host_key=host_key
        )
        return [host, candidates.key_file(identity, where)] if identity else [host]

    found = ask(checks.check(objects, cluster, namespace, options))
    print_whole(checks.table(found))
    typer.echo(checks.summary(found))
    raise typer.Exit(0 if all(one.passed for one in found) else 1)


@machine.command(name="logs")
@as_kubectl
def machine_logs(
    name: Name,
    namespace: Namespace = None,
    component: Annotated[
        str,
        typer.Option("--component", help="Only of this one; all that makes a node if absent."),
    ] = "",
    lines: Annotated[
        int, typer.Option("--tail", min=0, max=10000, help="Lines of each to begin with.")
    ] = 100,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written.")
    ] = False,
    options: KubectlOptions,
) -> None:
    """Print what services and jobs on a Machine's host wrote, read there over SSH."""
    from kok.cli.machines import logs  # noqa: PLC0415

    asked = logs.show(
        name, namespace, options, typer.echo, component=component, lines=lines, follow=follow
    )
    try:
        ask(asked)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@machine.command(name="shell")
@as_kubectl
def machine_shell(name: Name, namespace: Namespace = None, *, options: KubectlOptions) -> None:
    """Open a shell on a Machine's host, as the user and with the Secret that its spec names."""
    from kok.cli.machines.terminal import attach  # noqa: PLC0415

    raise typer.Exit(ask(attach(name, namespace, options)))


@machine.command(name="plan")
@as_kubectl
def machine_plan(
    name: Annotated[str, typer.Argument(help="Name of a KubeNode, or of a Machine.")],
    namespace: Namespace = None,
    *,
    options: KubectlOptions,
) -> None:
    """Show what would run where: what Machines have yet to be told, and what is to be done on hosts."""
    from kok.cli.machines import plan as plans  # noqa: PLC0415
    from kok.cli.table import print_whole  # noqa: PLC0415

    found = ask(plans.plan(name, namespace, options))
    if found.empty:
        typer.echo(plain(f"nothing is to be done for {found.title}"))
    for each in plans.tables(found):
        print_whole(each)


@machine.command(name="release")
@as_kubectl
def machine_release(name: Name, namespace: Namespace = None, *, options: KubectlOptions) -> None:
    """Have a Machine go and leave its host the node that it is: nothing is stopped, drained or removed."""
    from kok.cli.machines.release import release  # noqa: PLC0415

    typer.echo(plain(ask(release(name, namespace, options))))
