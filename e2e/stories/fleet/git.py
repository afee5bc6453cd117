"""Specs are Git's: a Cluster that was raised is no drift, and Git may follow when it likes."""

from __future__ import annotations

import json

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.lab.errors import LabError
from e2e.polling import eventually
from e2e.stories.fleet import (
    NAMESPACE,
    NEW,
    OLD,
    SHOP,
    STAYING,
    back,
    git_follows,
    manifest,
    pods,
    quotes,
)


async def no_drift(w: Environment) -> None:
    """kubectl diff sees nothing of a raise; the line for Git is told, and with it nothing restarts

    `shop` has the new version in its spec after it.
    """
    await clusters.quiet(w, NAMESPACE, SHOP)
    before, there = await clusters.get(w, NAMESPACE, SHOP), await pods(w, SHOP)
    file = json.dumps(manifest(SHOP))
    for options in ((), ("--server-side", "--field-manager=kok-e2e")):

        async def same(options: tuple[str, ...] = options) -> bool:
            # With a difference it ends with 1, which raises.
            return not await w.lab.kubectl("diff", *options, "-f", "-", stdin=file)

        # A status that is written between its two requests is one, too.
        await eventually(same, clusters.SOON, every=1.0, unless=(LabError,))
    await w.apply(manifest(SHOP))
    after = await clusters.get(w, NAMESPACE, SHOP)
    for key in ("generation", "uid"):
        if before["metadata"][key] != after["metadata"][key]:
            raise AssertionError(f"{key} was {before['metadata'][key]}: {after['metadata']}")
    if after["spec"] != before["spec"] or after["spec"]["version"] != OLD:
        raise AssertionError(f"the spec was {before['spec']} and is {after['spec']}")
    said = etcd.sentence(after, "SpecBehind")
    quotes(said, f"raised spec.version {OLD} to {NEW}", f"write 'version: \"{NEW}\"' into spec")
    w.report.line(f"SpecBehind: {said}")
    await git_follows(w, SHOP)
    await clusters.quiet(w, NAMESPACE, SHOP)
    if (now := await pods(w, SHOP)) != there or not there:
        raise AssertionError(f"pods were {there} and are {now}")


async def all_back(w: Environment) -> None:
    """Git follows everywhere, and takes all of them back by a patch level

    All are where they began.
    """
    await back(w, *STAYING)
