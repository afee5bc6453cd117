"""The steps of a pass that work in the meta cluster, and what they hand on to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from kok import pki, versions
from kok.addons import TUNNEL_AGENT
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.apply.prune import prune, release
from kok.kube.apply.serverside import intent_hash
from kok.kube.concurrency import all_of
from kok.kube.errors import InvalidObject
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.cluster.children import RULES
from kok.operators.cluster.cluster.decide import Decision, keys_hash
from kok.operators.cluster.cluster.observe import ADDON, ClusterView
from kok.operators.cluster.cluster.operations import hibernation
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.cluster.pki.credentials import Issuer, ServingNames, key_manifests
from kok.operators.cluster.cluster.pki.keys import KeyRing, Keys
from kok.operators.cluster.cluster.pki.restored_keys import RestoredKeys, restored_keys
from kok.operators.cluster.cluster.render import (
    apiserver,
    controllers,
    konnectivity,
    networkpolicy,
    owned,
    pods,
    probe,
)
from kok.operators.cluster.cluster.render import service as service_
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import (
    Endpoint,
    NoEndpoint,
    public_endpoint,
    serving_names,
)
from kok.operators.cluster.naming import (
    ANNOTATION_ETCD_CA,
    ANNOTATION_TUNNEL,
    API_SERVER,
    COMPONENTS,
    CONTROLLER_MANAGER,
    ROOTS,
    SCHEDULER,
    key_secrets,
)
from kok.operators.cluster.tunnel import TunnelEnd, server_names, tunnel_end
from kok.runtime.children.ensure import Children
from kok.runtime.children.takeover import is_child
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Pass
from kok.runtime.policy import Policies

RENDER = {
    API_SERVER: apiserver.deployment,
    CONTROLLER_MANAGER: controllers.controller_manager,
    SCHEDULER: controllers.scheduler,
}


class ControlPlane:
    """One pass over one Cluster. The methods are called in the order in which they stand here."""

    def __init__(
        self, p: Pass[Cluster], decision: Decision, found: ClusterOutcome, policies: Policies
    ) -> None:
        """What comes of it is put into `found`."""
        self.p = p
        self.cluster = p.obj
        self.found = found
        self._decision = decision
        self._policies = policies
        self._children = Children(p.kube, p.obj, RULES)
        self._keys: Keys | None = None
        self._lacks: RestoredKeys | None = None

    @property
    def view(self) -> ClusterView:
        """What was observed, with what this pass has changed since."""
        return self.found.view

    @property
    def resolved(self) -> ResolvedCluster:
        """The spec with all defaults. Raises `Invalid` where nothing can be made of it."""
        if isinstance(self._decision.resolved, Invalid):
            raise self._decision.resolved
        return self._decision.resolved

    def deployment(self, component: str) -> Manifest | None:
        """A component's Deployment."""
        return self.view.get(kinds.DEPLOYMENT, naming.deployment(self.cluster.name, component))

    def probes(self, version: str) -> list[Manifest]:
        """Pods that try a version; none where nothing can be made of the spec."""
        resolved = self._decision.resolved
        if isinstance(resolved, Invalid):
            return []
        try:
            made = [RENDER[component](resolved, version, "") for component in COMPONENTS]
        except versions.UnknownVersion:
            return []
        return probe.probes(resolved, version, made)

    async def loosen_keys(self) -> None:
        """Before anything can stop the pass: keys that have the Cluster for an owner go with it."""
        stored = self.view.of(kinds.SECRET)
        keys = [stored[name] for name in key_secrets(self.cluster.name) if name in stored]
        self.found.view = self.view.merged(await self._children.loosen(keys))

    async def ensure_foundation(self) -> None:
        """What everything else refers to: etcd, the Service, the keys; all side by side.

        etcd comes first since its volumes take longest.
        """
        resolved, name = self.resolved, self.cluster.name
        secrets = self.view.of(kinds.SECRET)
        back = restored_keys(self.cluster, self.view, secrets, self.p.now)
        self._lacks = back if back.reason is not None else None
        ring = KeyRing(self.cluster, back.instead_of(secrets), self.p.now)
        budgets = [pods.budget(resolved, part) for part in resolved.parts.values()]
        trusted = self.view.etcd_trusted(name)
        etcd = owned.etcd_cluster(
            resolved, self.view.etcd(name), trusted, version=self._decision.etcd_version
        )
        if self._decision.hibernation.etcd_stops:
            etcd["spec"]["hibernate"] = True
        settling = asyncio.create_task(ring.settle())
        fences = self._fences()
        await all_of([self._put([etcd, *budgets, *fences]), self._put_service(), _quiet(settling)])
        await self._prune(kinds.NETWORKPOLICY, fences)
        await self._remove_tunnel()
        self._keys = settling.result()
        self.found.endpoint = self._endpoint(self.view)
        await self._give_back()
        self.found.problems = self._keys.problems

    async def _give_back(self) -> None:
        """Keys that somebody brought are used, and belong to nobody but him."""
        stored = self.view.of(kinds.SECRET)
        taken = [
            live
            for name in sorted(self.keys.brought)
            if (live := stored.get(name)) is not None and is_child(RULES, live, self.cluster)
        ]
        done = [await release(self.p.kube, kinds.SECRET, live, self.cluster) for live in taken]
        self.found.view = self.view.merged(done)

    def require_keys(self) -> None:
        """Raises `Wait` while keys are missing that belong to what is in etcd.

        Nothing that would run with others may be made.
        """
        if self._lacks is not None:
            reason = self._lacks.reason or reasons.KEYS_MISSING
            raise Wait(reason, self._lacks.message, 10.0)

    async def store_keys(self) -> None:
        """Stores what was made, then records it; only after that anything is made of it.

        Whatever a pass ends by, no record is of a key that nobody has, and nothing was encrypted or
        signed with a key that is not recorded: the next pass may make another one.
        """
        keys, recorded = self.keys, self.cluster.status.ca_fingerprints
        fresh = {name for name, value in keys.fingerprints.items() if recorded.get(name) != value}
        if fresh:
            self._require_that_they_stay(fresh)
            wanted = key_manifests(self.cluster.name, keys)
            await self._put((m for m in wanted if m["metadata"]["name"] in fresh), once=True)
            self.p.status.ca_fingerprints = {**recorded, **keys.fingerprints}
            await self.p.latch()
        self.found.fingerprints = keys.fingerprints
        for secret in keys.trusted:
            where = f"Secret {self.cluster.namespace}/{secret}"
            self.p.event(reasons.TRUSTED, f"{where}: went over to {keys.fingerprints[secret]}")

    def _require_that_they_stay(self, keys: Iterable[str]) -> None:
        """Raises `Wait` while a Secret whose key is to be recorded is being removed."""
        secrets = self.view.of(kinds.SECRET)
        for name in sorted(keys):
            if (secrets.get(name) or {"metadata": {}})["metadata"].get("deletionTimestamp"):
                where = f"Secret {self.cluster.namespace}/{name}"
                raise Wait(reasons.STALE_CHILD, f"{where} is still being removed", 1.0)

    async def issue_credentials(self) -> None:
        """Secrets with certificates and kubeconfigs, the Addons, and the API server beside them."""
        view, endpoint = self.view, self.found.endpoint
        public = endpoint if isinstance(endpoint, Endpoint) else None
        service = view.service(self.cluster.name)
        end, needed = self._tunnel_end(), self._needs_tunnel()
        served = ServingNames(
            *serving_names(self.cluster, public, service, view.nodes),
            server_names(self.cluster, end) if needed else (),
        )
        issuer = Issuer(self.resolved, self.keys, view.of(kinds.SECRET), self.p.now)
        made = issuer.all(served, public)
        told = self._told_agents(end)
        addons = owned.addons(self.resolved, told)
        if needed:
            # Its servers read their certificate once: it is there before the pods that are for it.
            await self._put(made.secrets)
            await self._put([*addons, *self._deployments({API_SERVER}, answers=False)])
        else:
            servers = self._deployments({API_SERVER}, answers=False)
            await self._put([*made.secrets, *addons, *servers])
        self.found.certificates = made.certificates
        self.found.ending = tuple(made.ending)
        self.found.incomplete = tuple(made.incomplete)
        for renewed in made.renewed:
            self.p.event(reasons.ISSUED, renewed)
        await self._prune(ADDON, addons, but=self._kept_agent(told))

    async def ensure_controllers(self, beside: Awaitable[None]) -> None:
        """The other components, as soon as they may be there, and whatever is to go on beside."""
        reach = self.found.reach
        answers = reach is not None and reach.answers
        wanted = self._deployments({CONTROLLER_MANAGER, SCHEDULER}, answers=answers)
        await all_of([self._put(wanted), beside])

    def require_pull_secrets(self) -> None:
        """Raises `Wait` for what is missing although everything else is in place."""
        missing = self.view.missing_secrets
        if missing:
            namespace = self.cluster.namespace
            raise Wait(
                reasons.SECRET_MISSING,
                f"Secret {namespace}/{missing[0]} of spec.images.pullSecrets does not exist; "
                "create it with type kubernetes.io/dockerconfigjson",
                10.0,
            )

    @property
    def keys(self) -> Keys:
        """The keys; there after `ensure_foundation`."""
        if self._keys is None:
            raise AssertionError("ensure_foundation comes first")
        return self._keys

    def _deployments(self, components: set[str], *, answers: bool) -> list[Manifest]:
        decided = self._decision
        down = decided.hibernation.down
        wanted = decided.versions_once_answering if answers else decided.versions
        stamp = keys_hash(self._recorded())
        made = [
            pods.without_rollout(
                pods.with_annotations(
                    RENDER[component](self.resolved, version, stamp), self._notes(component)
                ),
                self.deployment(component),
            )
            for component, version in wanted.items()
            if component in components
        ]
        made = [self._with_roots(one) for one in made]
        return [hibernation.without_pods(one) for one in made] if down else made

    def _with_roots(self, deployment: Manifest) -> Manifest:
        """Pods of a cluster whose CA has issuers get these as well, to trust the API by."""
        name = naming.controller_manager_secret(self.cluster.name)
        secret = self.view.get(kinds.SECRET, name) or {}
        ours = deployment["metadata"]["name"] == naming.deployment(
            self.cluster.name, CONTROLLER_MANAGER
        )
        if not ours or ROOTS not in (secret.get("data") or {}):
            return deployment
        return controllers.with_roots(deployment)

    def _notes(self, component: str) -> dict[str, str | None]:
        """What has become of etcd that restarts a component."""
        name = self.cluster.name
        notes = {pods.ANNOTATION_RESTORED: self.view.etcd_contract(name).restored}
        if component == API_SERVER:
            notes[ANNOTATION_ETCD_CA] = self.view.etcd_contract(name).clients
            notes[ANNOTATION_TUNNEL] = self._tunnel_certificate()
        return notes

    def _needs_tunnel(self) -> bool:
        return konnectivity.is_needed(self.resolved, self.view)

    def _tunnel_end(self) -> TunnelEnd | None:
        """Where agents find the servers, if there are to be any, or there still are."""
        if not self._needs_tunnel():
            return None
        service = self.view.get(kinds.SERVICE, naming.konnectivity(self.cluster.name))
        known = self.found.endpoint
        public = known if isinstance(known, Endpoint) else None
        return tunnel_end(self.cluster, service, public, self.view.nodes)

    def _tunnel_certificate(self) -> str | None:
        """Hash of the certificate of the tunnel's servers; None without a tunnel."""
        if not self.resolved.tunnel:
            return None
        live = self.view.get(kinds.SECRET, naming.konnectivity(self.cluster.name)) or {}
        return intent_hash({pki.TLS_CRT: (live.get("data") or {}).get(pki.TLS_CRT)})[:16]

    def _told_agents(self, end: TunnelEnd | None) -> dict[str, Any] | None:
        """What agents are told of the servers; None where that is not known."""
        ca = self.keys.ca
        return end.values(ca.anchors_pem) if end is not None and ca is not None else None

    def _kept_agent(self, told: dict[str, Any] | None) -> tuple[str, ...]:
        """The agents' Addon, while nobody knows what to tell them of servers that are there."""
        lost = told is None and self._needs_tunnel()
        return (names.cluster_addon(self.cluster.name, TUNNEL_AGENT),) if lost else ()

    async def _remove_tunnel(self) -> None:
        """Once no API server goes by it; the agents go when the Addons are looked at."""
        if self._needs_tunnel():
            return
        name = naming.konnectivity(self.cluster.name)
        for kind in (kinds.SERVICE, kinds.SECRET):
            live = self.view.get(kind, name)
            if live is not None:
                await prune(self.p.kube, kind, self.cluster, (), [live])

    def _recorded(self) -> dict[str, str]:
        """Fingerprints of the keys that pods read at their start.

        Those of refused keys stay as recorded: what is wrong with a Secret restarts nothing.
        """
        name = self.cluster.name
        known = {**self.cluster.status.ca_fingerprints, **self.keys.fingerprints}
        read_once = (
            names.cluster_ca_secret(name),
            names.service_account_secret(name),
            naming.encryption_secret(name),
        )
        return {secret: known[secret] for secret in read_once if secret in known}

    def _fences(self) -> list[Manifest]:
        """The NetworkPolicies; there before any pod that they are for."""
        if not self._policies.isolates():
            return []
        closed = (*self._policies.forbidden_ranges, *self.view.meta_ranges)
        around = networkpolicy.PolicyInputs(
            self.view.machines,
            closed,
            self._policies.dns_servers,
            self._policies.scrapers,
            tunnel=self._needs_tunnel(),
            straight=konnectivity.may_go_straight(self.resolved, self.view),
        )
        fences = networkpolicy.policies(self.resolved, around)
        if self.p.status.probes is not None:
            fences.append(probe.policy(self.resolved))
        return fences

    async def _prune(
        self, kind: Kind, kept: Iterable[Manifest], *, but: Iterable[str] = ()
    ) -> None:
        keep = [*(manifest["metadata"]["name"] for manifest in kept), *but]
        await prune(self.p.kube, kind, self.cluster, keep, self.view.of(kind).values())

    async def _put_service(self) -> None:
        wanted = [service_.service(self.resolved)]
        if self._needs_tunnel():
            wanted.append(konnectivity.service(self.resolved))
        try:
            await self._put(wanted)
        except InvalidObject as error:
            if "port" not in error.message:
                raise
            raise Wait(
                reasons.PORT_TAKEN,
                f"the meta cluster refuses the port of Service {self.cluster.namespace}/"
                f"{names.api_service(self.cluster.name)}: {error.message}; free it, or delete this "
                "Cluster and create it with another spec.endpoint.port or none",
                30.0,
            ) from error

    async def _put(self, intents: Iterable[Manifest], *, once: bool = False) -> None:
        labelled = [_of_cluster(intent, self.cluster.name) for intent in intents]
        make = self._children.make_once if once else self._children.ensure
        done = await make(labelled, self.view.children)
        self.found.view = self.view.merged(done)

    def _endpoint(self, view: ClusterView) -> Endpoint | NoEndpoint:
        return public_endpoint(self.cluster, view.service(self.cluster.name), view.nodes)


def _of_cluster(intent: Manifest, cluster: str) -> Manifest:
    """Every child says whose it is, also to those who do not know of owners."""
    meta = intent["metadata"]
    labels = {**(meta.get("labels") or {}), names.LABEL_CLUSTER: cluster}
    return {**intent, "metadata": {**meta, "labels": labels}}


async def _quiet(task: asyncio.Task[Keys]) -> None:
    await task
