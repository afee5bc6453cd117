"""Every condition and every reason that the etcd operator gives, as users see them."""

from __future__ import annotations

from typing import Final

READY: Final = "Ready"
"""All is as asked: every member healthy, certificates in order, no alarm."""
AVAILABLE: Final = "Available"
"""A quorum of members answers: clients can read and write. Unknown if no member can be asked."""
MEMBERS_HEALTHY: Final = "MembersHealthy"
"""Every member is ready and a part of the cluster."""
CERTIFICATES_READY: Final = "CertificatesReady"
"""The CA is the recorded one, and every certificate is there and valid."""
UP_TO_DATE: Final = "UpToDate"
"""Every member's pod runs with the settings of the spec."""

# --- all is well

HEALTHY: Final = "Healthy"
"""Nothing to do."""
QUORUM: Final = "Quorum"
"""A majority of members agreed on an answer just now."""
ISSUED: Final = "Issued"
"""Certificates are valid; `status.certificates` has their dates."""
CURRENT: Final = "Current"
"""Pods and spec agree."""

# --- on the way

FORMING: Final = "Forming"
"""The members start for the first time. The message says what each one waits for."""
MEMBERS_NOT_READY: Final = "MembersNotReady"
"""Some members are not healthy; the message names them and says what is known."""
GROWING: Final = "Growing"
"""Members are added one by one, up to `spec.members`."""
SHRINKING: Final = "Shrinking"
"""Members are removed one by one, down to `spec.members`."""
REPLACING: Final = "Replacing"
"""A lost member gives its place to a new one; `status.operation` tells which and how far it is."""
MOVING: Final = "Moving"
"""Members give their places to new ones elsewhere, one by one."""
RESTART_NEEDED: Final = "RestartNeeded"
"""Pods run with earlier settings; delete the named pods one at a time to renew them."""
ISSUING: Final = "Issuing"
"""Certificates are being made."""
VOLUMES_TERMINATING: Final = "VolumesTerminating"
"""Volumes of an earlier EtcdCluster of this name are still being removed; wait."""

# --- somebody must look

QUORUM_LOST: Final = "QuorumLost"
"""Fewer than a majority of members take part: nothing can be read safely or written."""
UNREACHABLE: Final = "MembersUnreachable"
"""The pods are ready, but the operator cannot ask them; check routes and network policies."""
MEMBER_LOST: Final = "MemberLost"
"""A member's volume or its content is gone. It is kept from starting: empty it would do harm."""
CLUSTER_ID_MISMATCH: Final = "ClusterIDMismatch"
"""A member belongs to another etcd cluster than the recorded one; it is not counted."""
NO_SPACE: Final = "NoSpace"
"""The database reached its quota; etcd refuses writes until space is freed."""
CORRUPT: Final = "Corrupt"
"""Members disagree on the content; etcd refuses to serve. Restore from a backup."""
NAME_TAKEN: Final = "NameTaken"
"""An object that is not ours has a name that we need; remove it or choose another name."""
RETAINED_VOLUMES: Final = "RetainedVolumes"
"""Volumes of an earlier EtcdCluster of this name are there; adopt them or delete them."""
UNSUPPORTED_VERSION: Final = "UnsupportedVersion"
"""`spec.version` is not one that this release can run."""

# The reasons of `kok.pki.CAReason` (CAMissing...) also appear on CertificatesReady and Ready.

# --- events

CLUSTER_FORMED: Final = "ClusterFormed"
"""Event: the members agreed on a cluster ID, which holds from now on."""
CERTIFICATE_ISSUED: Final = "CertificateIssued"
"""Event: a certificate was made for the first time."""
CERTIFICATE_RENEWED: Final = "CertificateRenewed"
"""Event: a certificate was replaced; the message says why."""
CA_TRUSTED: Final = "CATrusted"
"""Event: another CA was accepted because the annotation asked for it."""
VOLUMES_ADOPTED: Final = "VolumesAdopted"
"""Event: volumes of an earlier EtcdCluster of this name are used again, with their data."""
OPERATION_BEGUN: Final = "OperationBegun"
"""Event: something is begun about the members; the message says what and why."""
OPERATION_FINISHED: Final = "OperationFinished"
"""Event: it is done."""
MEMBER_ADDED: Final = "MemberAdded"
"""Event: a new member is known to etcd as a learner, which has no vote."""
MEMBER_PROMOTED: Final = "MemberPromoted"
"""Event: a learner has caught up with the leader and got its vote."""
LEADER_MOVED: Final = "LeaderMoved"
"""Event: another member leads, since the one that led is to be removed or restarted."""
MEMBER_REMOVED: Final = "MemberRemoved"
"""Event: a member was taken out of etcd's list for good."""
MEMBERS_RESTARTED: Final = "MembersRestarted"
"""Event: all members restart at once, since they could not trust each other one by one."""
