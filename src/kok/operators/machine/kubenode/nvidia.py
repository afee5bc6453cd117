"""What a KubeNode's hosts get for GPUs of NVIDIA. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kok.api.machine.kubenode import KubeNodeSpec
from kok.operators.machine import reasons
from kok.runtime.controller.errors import Invalid

DRIVER: Final = "nvidia-driver"
TOOLKIT: Final = "nvidia-toolkit"
TOOLKIT_VERSION: Final = "1.20.2"
"""What somebody gets who asks for none."""
_OLDEST = (1, 18)
"""The first one that keeps a CDI specification by itself."""


def chosen(spec: KubeNodeSpec, versions: Mapping[str, str]) -> dict[str, str]:
    """The versions of all software, of which `versions` run or are defaults. Raises `Invalid`."""
    rest = {name: v for name, v in versions.items() if name not in (DRIVER, TOOLKIT)}
    if spec.nvidia is None:
        return rest
    wanted, driver = spec.nvidia.toolkit.version, spec.nvidia.driver
    if wanted is not None and _number(wanted) < _OLDEST:
        raise Invalid(
            reasons.RUNTIME_UNSUPPORTED,
            f"spec.nvidia.toolkit.version: {wanted} is not supported, as it keeps no CDI "
            "specification by itself; write 1.18.0 or later",
        )
    found = {TOOLKIT: wanted or versions.get(TOOLKIT) or TOOLKIT_VERSION}
    if driver is not None:
        found[DRIVER] = driver.version
    return rest | found


def params(spec: KubeNodeSpec) -> dict[str, dict[str, Any]]:
    """Parameters by software."""
    if spec.nvidia is None:
        return {}
    toolkit, driver = spec.nvidia.toolkit, spec.nvidia.driver
    found: dict[str, dict[str, Any]] = {
        TOOLKIT: {"runtime": spec.runtime.type, "defaultRuntime": toolkit.default_runtime}
    }
    if (cgroups := spec.kubelet.get("cgroupDriver")) is not None:
        found[TOOLKIT]["cgroupDriver"] = cgroups
    if driver is not None:
        found[DRIVER] = {
            "kernelModules": driver.kernel_modules,
            "kernelHeaders": driver.kernel_headers,
        }
    return found


def _number(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(p.isdecimal() for p in parts) else ()
