"""Every reason that a condition or event of a Cluster, Addon or FleetUpgrade may carry, and what it means."""

from __future__ import annotations

from typing import Final

# --- conditions of a Cluster

ETCD_READY: Final = "EtcdReady"
"""The EtcdCluster is ready."""
CERTIFICATES_READY: Final = "CertificatesReady"
"""CAs are the recorded ones; all certificates and keys are there and valid."""
CONTROL_PLANE_READY: Final = "ControlPlaneReady"
"""All pods of the control plane that are wanted are ready, at the wanted version."""
ENDPOINT_REACHABLE: Final = "EndpointReachable"
"""The API answers through its public address with the admin kubeconfig."""
BOOTSTRAP_READY: Final = "BootstrapReady"
"""The objects that nodes need to join are applied in the business cluster."""
ADDONS_READY: Final = "AddonsReady"
"""All addons are applied and healthy, or wait only for nodes."""
ANSWERS_READ: Final = "AnswersRead"
"""False if something in the business cluster is too large or too much to be read and followed;
there only once that was so."""
CLUSTER_REACHABLE: Final = "ClusterReachable"
"""API servers reach the kubelets, webhooks and aggregated APIs of the business cluster: False names
what they do not reach."""
FOREIGN_NODES: Final = "ForeignNodesCertified"
"""False if nodes that belong to no Machine wait for their serving certificates, without which logs
and exec fail there; absent otherwise."""
PROGRESSING: Final = "Progressing"
"""The operator is on its way to what the spec asks for."""
SPEC_BEHIND: Final = "SpecBehind"
"""True if a FleetUpgrade raised the version above `spec.version`; the message has the line for Git.
Absent otherwise."""
OUTDATED: Final = "Outdated"
"""True if a later patch level of the minor is out, or the minor gets no more of them."""
VULNERABLE: Final = "Vulnerable"
"""True if the version that runs has a CVE that is known, with what fixes it; there only where something
is known of CVEs."""
READY: Final = "Ready"
"""The sum of the others: the cluster can be used."""

# --- conditions of an Addon, beside Ready

APPLIED: Final = "Applied"
"""All objects of the addon are in the business cluster as rendered."""
HEALTHY: Final = "Healthy"
"""The addon's workloads are up, or wait only for nodes."""

# --- reasons: all is well

AVAILABLE: Final = "Available"
"""The cluster can be used."""
AS_WANTED: Final = "AsWanted"
"""What is observed is what the spec asks for."""
ANSWERS: Final = "Answers"
"""The API answered."""
WAITING_FOR_NODES: Final = "WaitingForNodes"
"""Everything is applied; pods wait only because the cluster has no node yet."""

# --- reasons: under way

CREATING: Final = "Creating"
"""Something is being made for the first time."""
ROLLING_OUT: Final = "RollingOut"
"""A change is on its way through the control plane, one component after the other."""
UPGRADING: Final = "Upgrading"
"""The control plane goes from one version to another; the message has the step and what that waits
for."""
CURRENT: Final = "Current"
"""Nothing later is known of the minor."""
PATCH_AVAILABLE: Final = "PatchAvailable"
"""A later patch level of the minor is out."""
END_OF_LIFE: Final = "EndOfLife"
"""The minor gets no more patch levels."""
NO_CVE: Final = "NoneKnown"
"""No CVE is known of the version that runs."""
CVE_KNOWN: Final = "VulnerabilityKnown"
"""The version that runs has a CVE; the message has what fixes it."""
RELEASES_UNUSABLE: Final = "ReleasesUnusable"
"""The document on releases cannot be read, or its signature does not fit; what was known before counts.
"""
RELEASES_USED: Final = "ReleasesUsed"
"""Event of ConfigMap `kok-releases`: what it says can be used again."""
RELEASES_NOT_FETCHED: Final = "ReleasesNotFetched"
"""Event of ConfigMap `kok-releases`: what lies at the URL cannot be had, or is not used."""
RAISED: Final = "Raised"
"""A FleetUpgrade raised the version of the Cluster."""
STARTING: Final = "Starting"
"""Pods of the control plane are starting."""
WAITING_FOR_ETCD: Final = "WaitingForEtcd"
"""The EtcdCluster is not ready yet."""
WAITING_FOR_KEYS: Final = "WaitingForKeys"
"""The Cluster begins with a backup, and the keys that this holds have not been opened yet."""
WAITING_FOR_ADDRESS: Final = "WaitingForAddress"
"""The Service has no public address yet."""
WAITING_FOR_API: Final = "WaitingForAPI"
"""The API does not answer yet, which this step needs."""
WAITING_FOR_CLUSTER: Final = "WaitingForCluster"
"""The Addon's Cluster does not answer yet."""
WAITING_FOR_DEPENDENCIES: Final = "WaitingForDependencies"
"""Another Addon that this one depends on is not Ready yet."""
WAITING_FOR_ROOM: Final = "WaitingForRoom"
"""Large Addons of several namespaces wait for each other: a few are worked with at a time, each for
a minute at most while others wait."""
NOT_HEALTHY: Final = "NotHealthy"
"""Workloads of an addon are not up."""

# --- reasons: something is wrong; the message says what to do

HIBERNATING: Final = "Hibernating"
"""The control plane stops, then etcd, since `spec.hibernate` is true."""
HIBERNATED: Final = "Hibernated"
"""Neither the control plane nor etcd run, since `spec.hibernate` is true. Their data is kept."""
WAKING: Final = "Waking"
"""etcd starts, then the control plane does."""
UPGRADE_BLOCKED: Final = "UpgradeBlocked"
"""The preflight found something for which the upgrade is not begun, or the version cannot be gone to;
the message says what to do."""
UPGRADE_STUCK: Final = "UpgradeStuck"
"""A step of an upgrade made no progress for `spec.upgrade.progressDeadline`; the message has the cause.
"""
UPGRADE_BACKED_OUT: Final = "UpgradeBackedOut"
"""An upgrade made no progress and was taken back; it is tried again when the version that is asked for
changes, or the annotation `kok.dev/upgrade-retry`."""
ETCD_RESTORING: Final = "EtcdRestoring"
"""etcd is being given the data of a backup; the control plane restarts once it has it."""
ETCD_NOT_READY: Final = "EtcdNotReady"
"""The EtcdCluster was ready and is not any more."""
REPLICAS_MISSING: Final = "ReplicasMissing"
"""Fewer pods than wanted are ready; the component still works."""
CRASHING: Final = "Crashing"
"""A container of the control plane exits again and again; the message has its last words."""
UNSCHEDULABLE: Final = "Unschedulable"
"""No meta node takes a pod of the control plane; the message has the scheduler's reason."""
IMAGE_UNAVAILABLE: Final = "ImageUnavailable"
"""An image of the control plane cannot be pulled."""
OUT_OF_MEMORY: Final = "OutOfMemory"
"""A container of the control plane was killed because it used more memory than its limit."""
NOT_READY: Final = "NotReady"
"""A container of the control plane cannot start, or runs without ever being ready; the message
has what its probe was answered or what the kubelet says."""
PODS_REFUSED: Final = "PodsRefused"
"""The meta cluster refuses pods of the control plane: a quota, a limit range or a policy."""
ROLLOUT_STUCK: Final = "RolloutStuck"
"""A rollout made no progress for ten minutes, and nothing tells why."""
UNREACHABLE: Final = "Unreachable"
"""The control plane runs, but the API does not answer through its public address."""
CREDENTIALS_REFUSED: Final = "CredentialsRefused"
"""The API answers but does not accept the admin kubeconfig."""
CA_CHAIN_INCOMPLETE: Final = "CAChainIncomplete"
"""All certificates are valid; the CA is an intermediate one whose root is not known, which some
clients insist on."""
CA_ENDS_SOON: Final = "CAEndsSoon"
"""All is valid, but a CA will end soon, and with it all that it signed; nothing renews it."""
KEY_MISSING: Final = "KeyMissing"
"""The Secret of a service account or encryption key is gone."""
KEYS_MISSING: Final = "KeysMissing"
"""The Cluster begins with a backup whose keys are not here. None are made: what is in etcd could not

be read by them. The message names the Secrets to bring along, and why the backup did not bring them.
"""
KEY_CHANGED: Final = "KeyChanged"
"""The Secret of a service account or encryption key holds another key than the one in use."""
KEY_UNREADABLE: Final = "KeyUnreadable"
"""The Secret of a service account or encryption key does not hold a usable key."""
FORBIDDEN_BY_POLICY: Final = "ForbiddenByPolicy"
"""The administrator of the meta cluster does not allow what a field says; the message names it."""
MANAGED_FLAG: Final = "ManagedFlag"
"""`extraArgs` has a flag that the operator sets itself."""
UNKNOWN_FLAG: Final = "UnknownFlag"
"""`extraArgs` has a flag, gate or admission plugin that the version does not know."""
UNSUPPORTED_VERSION: Final = "UnsupportedVersion"
"""`spec.version` is not known to this release."""
INVALID_NAME: Final = "InvalidName"
"""A name or address in the spec cannot stand in a certificate, or not in a URL."""
FAMILY_MISSING: Final = "IPFamilyMissing"
"""The endpoint has no address of the family of the first Service range: no pod reaches the API."""
NAME_TAKEN: Final = "NameTaken"
"""An object that the Cluster needs belongs to somebody else, or nobody of KOK's made it."""
PORT_TAKEN: Final = "PortTaken"
"""The meta cluster refuses the node port of the API's Service."""
SECRET_MISSING: Final = "SecretMissing"  # noqa: S105 - the name of a reason
"""A Secret that the spec names does not exist."""
STALE_CHILD: Final = "StaleChild"
"""An object of an earlier Cluster of the same name, or the Secret of a key that is not in use yet, is
still being removed."""
CLUSTER_MISSING: Final = "ClusterMissing"
"""A Cluster that an Addon, or a wave of a FleetUpgrade, names does not exist."""
CLUSTER_DELETING: Final = "ClusterDeleting"
"""The Cluster of an Addon is being deleted."""
CLUSTER_UNREACHABLE: Final = "ClusterUnreachable"
"""The API of an Addon's Cluster does not answer."""
TEMPLATE_INVALID: Final = "TemplateInvalid"
"""An addon's templates cannot be rendered, or do not give Kubernetes objects, or more than
1000 of them, or more than 200,000 values in these."""
RENDERING_UNFINISHED: Final = "RenderingUnfinished"
"""An addon's templates were not rendered to their end, though nothing is known to be wrong with them: the
machine is busy, or short of memory. It is tried again."""
VALUES_INVALID: Final = "ValuesInvalid"
"""Values have a field that the built-in addon (or the kube-proxy of this version) does not take, one
that its schema or that of a chart does not allow, or are nested too deeply; the message has its
path. Or what `spec.valuesFrom` names holds no map."""
VALUES_MISSING: Final = "ValuesMissing"
"""A Secret or ConfigMap of `spec.valuesFrom`, or the key in it, does not exist. Create it, or write
`optional: true`."""
CONFIG_MAP_MISSING: Final = "ConfigMapMissing"
"""The ConfigMap with an addon's templates does not exist or is empty."""
SOURCE_MISSING: Final = "SourceMissing"
"""A repository has no such chart, version or artifact."""
SOURCE_UNREACHABLE: Final = "SourceUnreachable"
"""The repository of a chart or artifact does not answer, or not as it should. What is applied stays, and
it is asked again."""
SOURCE_REFUSED: Final = "SourceRefused"
"""The repository of a chart or artifact asks for other credentials."""
SOURCE_INVALID: Final = "SourceInvalid"
"""What the repository has is no chart or artifact, is too large, is not what its digest says, or is not
what it was when it was first looked up."""
HOOKS_REFUSED: Final = "HooksRefused"
"""The chart has hooks that only Helm itself would run. Switch them off by the chart's values, or
leave them out by `hooks: Ignore`."""
HELM_MISSING: Final = "HelmMissing"
"""The operator has no program `helm`, which its image holds: set `KOK_HELM` to the path of one."""
KUBERNETES_UNSUPPORTED: Final = "KubernetesUnsupported"
"""The Cluster runs a version of Kubernetes that `spec.kubernetes` or the chart does not allow. What is
applied stays as it is."""
OBJECT_TAKEN: Final = "ObjectTaken"
"""Another Addon already applies one of the objects."""
OBJECT_OWNED: Final = "ObjectOwned"
"""One of the objects was there before, and somebody else sets the same fields; the message says who,
which fields, and what to do."""
FOUGHT_OVER: Final = "FoughtOver"
"""Somebody changes an object of the addon again and again; the message says who and what. It is put
right less often until that stops, or `spec.ignore` names it."""
NOT_ESTABLISHED: Final = "NotEstablished"
"""A definition or namespace that other objects of the addon need is not usable yet."""
WAITING_FOR_WAVE: Final = "WaitingForWave"
"""The next wave of objects is applied once all of the one before is healthy."""
APPLY_FAILED: Final = "ApplyFailed"
"""The business cluster refused an object of the addon or of the bootstrap set."""
KIND_UNKNOWN: Final = "KindUnknown"
"""The business cluster has no such kind (yet)."""

KUBELETS_UNREACHABLE: Final = "KubeletsUnreachable"
"""API servers do not reach kubelets: `kubectl logs`, `exec` and `port-forward` fail there. Open the way,
or set `spec.network.tunnel`."""
PODS_UNREACHABLE: Final = "PodsUnreachable"
"""API servers reach kubelets, but no pods: as long as nobody needs webhooks or aggregated APIs inside, that
does no harm."""
APIS_UNAVAILABLE: Final = "APIsUnavailable"
"""Aggregated APIs do not answer, as long as which namespaces cannot be deleted. Mend what serves them,
or delete the APIService."""
WEBHOOKS_FAIL: Final = "WebhooksFail"
"""Nobody answers for webhooks that have to be asked: what they are asked about is refused."""
WEBHOOKS_AT_NODES: Final = "WebhooksAtNodes"
"""Webhooks that have to be asked about Nodes or Leases, and answer from within the cluster: when they do
not, nodes are lost, and with them whoever could answer."""

APPROVAL_NEEDED: Final = "ApprovalNeeded"
"""Nodes that belong to no Machine ask for serving certificates, and `spec.nodes.foreign` leaves
it to people to approve them; the message has the command."""
CSR_REFUSED: Final = "CertificateRequestRefused"
"""A node that belongs to no Machine asks for what is not its own; the message says what."""

# --- reasons of events

RAISE_GIVEN_UP: Final = "RaiseGivenUp"
"""What a FleetUpgrade raised the version to counts no more, since `spec.upgrade.fleet` is `Forbid` and nothing
has been changed, or all went back."""
UPGRADE_DONE: Final = "UpgradeDone"
"""All of the control plane runs the version that was asked for."""
DELETING_ADDONS: Final = "DeletingAddons"
"""Deletion: addons are being removed while the API still works."""
DELETING_CONTROL_PLANE: Final = "DeletingControlPlane"
"""Deletion: the control plane is being stopped."""
DELETING_ETCD: Final = "DeletingEtcd"
"""Deletion: the EtcdCluster is going."""
DELETING_REST: Final = "DeletingRest"
"""Deletion: Services, Secrets and what else is left are going."""
GAVE_UP: Final = "GaveUp"
"""Deletion went on without something that did not go in time."""
LEFT_IN_PLACE: Final = "LeftInPlace"
"""Of an Addon: Namespaces or CustomResourceDefinitions that were there before it stay, with all that is in
them; nothing of KOK's is left on them."""
RETAINED: Final = "Retained"
"""Deletion kept Secrets without which retained data could not be read."""
ISSUED: Final = "CertificateIssued"
"""A certificate or kubeconfig was renewed."""
TUNNEL_NEEDED: Final = "TunnelNeeded"
"""`spec.network.tunnel: Auto` has come to a tunnel; `status.tunnel` says why."""
TRUSTED: Final = "KeyTrusted"
"""Another CA or key was accepted because the annotation asked for it."""

# --- conditions of a FleetUpgrade, beside Ready, which is True once it is through without a failure

STOPPED: Final = "Stopped"
"""True while no further Cluster is raised because too many have failed; absent otherwise."""
LATE_CLUSTERS: Final = "LateClusters"
"""True if Clusters are selected that came after the plan was made: they are not upgraded; absent
otherwise."""

# --- reasons of a FleetUpgrade

PLANNING: Final = "Planning"
"""Clusters are being chosen."""
WAVE_UNDER_WAY: Final = "WaveUnderWay"
"""Clusters of a wave are being upgraded."""
SOAKING: Final = "Soaking"
"""All Clusters of a wave are through, and have time to prove themselves before the next one; or have
had it, and one of them has changed and does not tell yet how it is since then."""
WAITING_FOR_APPROVAL: Final = "WaitingForApproval"
"""The next wave begins when the annotation `kok.dev/approve` names it."""
WAITING_FOR_WINDOW: Final = "WaitingForWindow"
"""No further Cluster is raised until `spec.window` opens."""
WINDOW_INVALID: Final = "WindowInvalid"
"""Nobody can tell when `spec.window.cron` is due."""
FLEET_PAUSED: Final = "FleetPaused"
"""No further Cluster is raised, since `spec.paused` is true."""
FLEET_STOPPED: Final = "TooManyFailures"
"""No further Cluster is raised, since too many have failed; the message says what to do."""
FLEET_COMPLETED: Final = "Completed"
"""Each Cluster is through or skipped."""
FLEET_FAILURES: Final = "CompletedWithFailures"
"""It is through, and some Clusters have failed: `status.clusters` says why. They can be tried again by
the annotation `kok.dev/retry`."""
NOTHING_SELECTED: Final = "NothingSelected"
"""There was no Cluster that `spec.selector` takes when the plan was made, so that nothing was done. Of an
Addon: `spec.clusters` takes none yet."""
NOTHING_UPGRADED: Final = "NothingUpgraded"
"""It is through, and no Cluster has got the version by it, although some were to: each of them is skipped,
and `status.plan` says why. They can be tried again by the annotation `kok.dev/retry`."""
ABORTED: Final = "Aborted"
"""`spec.abort` is true. Of a Cluster: that was so before its turn."""
DRY_RUN: Final = "DryRun"
"""The plan is made, and `spec.dryRun` lets nothing be raised."""
NAMESPACES_FORBIDDEN: Final = "NamespacesForbidden"
"""Only a FleetUpgrade in the namespace of the operators may name `spec.namespaces`."""
NAMESPACES_NOT_SERVED: Final = "NamespacesNotServed"
"""`spec.namespaces` names some that this operator does not look after, by its setting `watchNamespaces`:
of the Clusters there nothing is known. Nothing is raised."""
CVE_UNKNOWN: Final = "CVEUnknown"
"""Nothing is known of the CVE in `spec.target.fixes`."""
CAME_LATE: Final = "CameLate"
"""Clusters are selected that came after the plan was made."""

# --- reasons of one Cluster in the table of a FleetUpgrade, beside UpgradeBlocked, UpgradeStuck and UpgradeBackedOut

ALREADY_THERE: Final = "AlreadyThere"
"""Skipped: it has the version or a later one, or is on its way there."""
OPTED_OUT: Final = "OptedOut"
"""Skipped: its `spec.upgrade.fleet` is `Forbid`."""
VERSION_UNREACHABLE: Final = "VersionUnreachable"
"""Skipped: it cannot be upgraded to the version, which is not known, lower, or more than one minor away."""
NO_FIX: Final = "NoFix"
"""Skipped: its minor, or the one that it was moved to meanwhile, has the CVE, and gets no fix any more."""
NOT_CONCERNED: Final = "NotConcerned"
"""Skipped: its minor does not have the CVE."""
IN_ANOTHER_FLEET: Final = "InAnotherFleetUpgrade"
"""Skipped: another FleetUpgrade has it, and has not ended."""
CLUSTER_PAUSED: Final = "ClusterPaused"
"""Skipped: its `spec.paused` is true. The sentence says what happens when it no longer is."""
CLUSTER_ASLEEP: Final = "ClusterHibernated"
"""Skipped: its `spec.hibernate` is true. The sentence says what happens when it wakes."""
CLUSTER_GONE: Final = "ClusterGone"
"""Skipped: it was deleted after the plan was made."""
IN_NO_WAVE: Final = "InNoWave"
"""Skipped: no wave takes it."""
UPGRADE_NOT_BEGUN: Final = "UpgradeNotBegun"
"""Failed: it was raised, and for its `spec.upgrade.progressDeadline` nothing came of that."""
RAISE_REFUSED: Final = "RaiseRefused"
"""Failed: the meta cluster refuses to have its status changed, or its Addon."""
NOT_READY_AFTER: Final = "NotReadyAfter"
"""Failed: it was through, and is no longer Ready at the end of its wave's soak."""

# --- reasons of an Addon for many Clusters, beside those of a FleetUpgrade

TOO_MANY_CLUSTERS: Final = "TooManyClusters"
"""More Clusters are selected than one Addon takes; the others have it."""

# --- reasons of one Cluster in the table of an Addon for many, beside those of a FleetUpgrade and its own

NOT_READY_IN_TIME: Final = "NotReadyInTime"
"""Failed: the addon was not Ready there within `spec.rollout.progressDeadline`."""
UNSELECTED: Final = "Unselected"
"""Skipped: it is no longer selected, and does not run; the addon is removed from it when it does."""

# --- reasons of events of a FleetUpgrade, or of an Addon for many Clusters

WAVE_BEGUN: Final = "WaveBegun"
"""The first Cluster of a wave is raised."""
