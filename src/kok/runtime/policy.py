"""What the administrator of the meta cluster lets tenants do: settings, and pure judgements.

Every judgement is a sentence that names the field and what is allowed instead, or None. Addresses
are judged twice: as they are written, and again when a connection is made to what a name stands
for by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kok.api.fields import Toleration
from kok.api.meta import Manifest
from kok.kube.http.access import in_pod
from kok.kube.objects.addresses import address, enclosing_range, network

FORBIDDEN: Final = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "::/128",
    "::1/128",
    "fe80::/10",
    "fd00:ec2::254/128",
)
"""Loopback, link-local, and with these the addresses where clouds serve a machine's credentials."""
LABEL_SSH: Final = "kok.dev/ssh-credentials"
"""On Secrets that may be used for SSH where the administrator asks for it; its value is `true`."""

Listed = Annotated[tuple[str, ...], NoDecode]
"""By commas in an environment variable."""


class Policies(BaseSettings):
    """Settings by which an administrator bounds all tenants; each operator heeds what it can.

    Lists are separated by commas. Where a list is absent everything is allowed, where it is
    empty nothing is.
    """

    model_config = SettingsConfigDict(env_prefix="KOK_", use_attribute_docstrings=True)

    network_policies: bool | None = None
    """Whether NetworkPolicies are made for what runs in the meta cluster; by default in a pod."""
    scrapers: Annotated[tuple[dict[str, Any], ...], NoDecode] = ()
    """Who may scrape metrics of tenants' pods, as a JSON list of peers of a NetworkPolicy."""
    operator_pods: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """Labels, as JSON, of the operators' own pods; all of their namespace if there are none."""
    dns_servers: Listed = ()
    """Address ranges of name servers beside kube-dns that pods of tenants may ask."""
    forbidden_ranges: Listed = FORBIDDEN
    """Address ranges that no tenant may name as a host, a store, a source of sums or an endpoint, nor
    have opened."""
    allowed_registries: Listed | None = None
    """Registries, with or without a path, that images of tenants' pods may come from."""
    allowed_node_labels: Listed | None = None
    """Labels, as `key` or `key=value`, by which tenants may choose meta nodes."""
    allowed_tolerations: Listed | None = None
    """Keys of taints that tenants' pods may put up with."""
    allowed_ssh_ranges: Listed | None = None
    """Address ranges of hosts that Machines may be about."""
    ssh_secrets_labelled: bool = False
    """Whether a Secret may be used for SSH only if it is labelled `kok.dev/ssh-credentials: "true"`."""

    @field_validator(
        "dns_servers",
        "forbidden_ranges",
        "allowed_registries",
        "allowed_node_labels",
        "allowed_tolerations",
        "allowed_ssh_ranges",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("scrapers", "operator_pods", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("dns_servers", "forbidden_ranges", "allowed_ssh_ranges")
    @classmethod
    def _ranges(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        wrong = [text for text in value or () if network(text) is None]
        if wrong:
            raise ValueError(f"{wrong[0]} is no address range; write one such as 192.0.2.0/24")
        return value

    def isolates(self) -> bool:
        """Whether NetworkPolicies are made."""
        return in_pod() if self.network_policies is None else self.network_policies


BY: Final = "policy of the administrator of the meta cluster"


def wrong_image(policies: Policies, image: str, field: str) -> str | None:
    """Whether an image may not be used: its whole registry and path count, not just a beginning."""
    allowed = policies.allowed_registries
    if allowed is None or any(image.startswith(f"{one.rstrip('/')}/") for one in allowed):
        return None
    return f"{field}: image {image} is not allowed by {BY}; {_choice('registries', allowed)}"


def wrong_selector(policies: Policies, selector: Mapping[str, str], field: str) -> str | None:
    """Whether a node selector has a label by which tenants may not choose."""
    allowed = policies.allowed_node_labels
    if allowed is None:
        return None
    for key, value in sorted(selector.items()):
        if key not in allowed and f"{key}={value}" not in allowed:
            choice = _choice("labels", allowed)
            return f"{field}: the label {key}={value} is not allowed by {BY}; {choice}"
    return None


def wrong_toleration(
    policies: Policies, tolerations: Iterable[Toleration], field: str
) -> str | None:
    """Whether a taint is put up with that tenants' pods must keep away from."""
    allowed = policies.allowed_tolerations
    if allowed is None:
        return None
    for one in tolerations:
        if one.key not in allowed:
            what = f"to tolerate {one.key}" if one.key else "to tolerate every taint"
            return f"{field}: {what} is not allowed by {BY}; {_choice('keys', allowed)}"
    return None


def wrong_address(policies: Policies, host: str, field: str) -> str | None:
    """Whether a host's address is forbidden; a name is judged when it is resolved."""
    closed = enclosing_range(host, policies.forbidden_ranges)
    if closed is None:
        return None
    return f"{field}: {host} lies in {closed}, which is forbidden by {BY}; write another address"


def wrong_url(policies: Policies, url: str, field: str) -> str | None:
    """Whether the host of a URL is forbidden."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return f"{field}: {url} cannot be read; write an address such as https://s3.example"
    return wrong_address(policies, host, field)


def wrong_ssh_address(policies: Policies, host: str, field: str) -> str | None:
    """Whether a Machine may not be at an address; a name is judged when it is resolved."""
    if (forbidden := wrong_address(policies, host, field)) is not None:
        return forbidden
    allowed = policies.allowed_ssh_ranges
    if allowed is None or address(host) is None:
        return None
    if enclosing_range(host, allowed, dressed=False) is not None:
        return None
    return f"{field}: {host} is not allowed by {BY}; {_choice('ranges', allowed)}"


def wrong_ssh_secret(policies: Policies, secret: Manifest, field: str) -> str | None:
    """Whether a Secret is not meant for SSH: who may name one here may not be who may read it."""
    meta = secret["metadata"]
    if not policies.ssh_secrets_labelled or (meta.get("labels") or {}).get(LABEL_SSH) == "true":
        return None
    return (
        f"{field}: Secret {meta['name']} may not be used by {BY}; label it "
        f'{LABEL_SSH}: "true" if it is meant for SSH'
    )


def _choice(what: str, allowed: Iterable[str]) -> str:
    named = ", ".join(sorted(allowed))
    return f"allowed {what} are {named}" if named else "none is"
