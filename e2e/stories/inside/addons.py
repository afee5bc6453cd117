"""An addon comes, changes and goes by `kok addons`; a broken one is told of and harms nobody.

The scenario `addons` has all that are built in, and `addons-faults` all that can be wrong with one.
"""

from __future__ import annotations

from collections.abc import Awaitable

from e2e.faults.bad_addons import UNDEFINED, addon, inline
from e2e.fixtures import clusters, rolling
from e2e.framework.environment import Environment
from e2e.framework.follow import has, until_gone
from e2e.lab.errors import LabError
from kok.api import Addon, names
from kok.kube import kinds
from kok.kube.client import Kube

NAME = "local-path"
"""Its image is in every lab, and its pod is a small one."""
BROKEN = "undefined"
_ADDON = Addon.info.kind
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_SPACE = "local-path-storage"
SOON, LONG = 180.0, 600.0


async def come_and_go(w: Environment, namespace: str, cluster: str) -> None:
    """In a Cluster with a node; nothing is left of them there."""

    async def kok(*words: str) -> str:
        command, *rest = words
        return await rolling.kok(w, "addons", command, cluster, *rest, "-n", namespace)

    # Told while the other one is installed.
    await w.apply(addon(namespace, BROKEN, inline(UNDEFINED), values={"given": {}}))
    async with await w.business(namespace, cluster) as inside:
        with w.report.step("kok addons install", "addon_installed_s"):
            w.report.text(await kok("install", NAME))
            if await _default(inside) != "true":
                raise AssertionError("it should be the default StorageClass")
            if difference := await kok("diff", NAME):
                raise AssertionError(f"it was just applied and differs: {difference}")
        with w.report.step("a broken one is told, and harms nobody", "addon_broken_s"):
            told = has("Ready", "False", "TemplateInvalid")
            found = await w.until(_ADDON, namespace, BROKEN, told, LONG)
            _expect(str(found["status"]["conditions"]), "spec.source.inline, line 5: ")
            await w.until(clusters.KIND, namespace, cluster, has("Ready"), SOON)
            rows = {line.split()[0]: line for line in (await kok("list")).splitlines() if line}
            _expect(rows[NAME], "Ready")
            _expect(rows[BROKEN], "TemplateInvalid")
            await kok("upgrade", BROKEN, "--set", "given.nothing=x")
            await kok("remove", BROKEN, "--yes")
        with w.report.step("kok addons upgrade", "addon_upgraded_s"):
            await _refused(kok("upgrade", NAME, "--set", "defaultClass=perhaps"))
            await kok("upgrade", NAME, "--set", "defaultClass=false")
            if await _default(inside) != "false":
                raise AssertionError("it should not be the default StorageClass any more")
        with w.report.step("kok addons remove", "addon_removed_s"):
            await kok("remove", NAME, "--yes")
            for name in (BROKEN, names.cluster_addon(cluster, NAME)):
                await w.gone(_ADDON, namespace, name, SOON)
            await until_gone(inside, kinds.STORAGECLASS, NAME, "", within=SOON)
            await until_gone(inside, kinds.CONFIGMAP, BROKEN, "default", within=SOON)
            await until_gone(inside, kinds.NAMESPACE, _SPACE, "", within=SOON)


async def _default(inside: Kube) -> str | None:
    """What the StorageClass says of whether it is the default one."""
    found = await inside.get(kinds.STORAGECLASS, NAME)
    return None if found is None else found["metadata"]["annotations"][_DEFAULT]


async def _refused(command: Awaitable[str]) -> None:
    try:
        await command
    except LabError as error:
        _expect(str(error), "values.defaultClass: must be of type boolean, not string")
        return
    raise AssertionError("a value of the wrong type was taken")


def _expect(said: str, words: str) -> None:
    if words not in said:
        raise AssertionError(f"expected {words!r} in {said!r}")
