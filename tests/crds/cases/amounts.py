"""Numbers, sizes and durations that nothing good would come of."""

from __future__ import annotations

from tests.crds.cases.case import of, of_cluster

EVEN = (
    "must be 1, 3, 5 or 7, since an even number survives no more failures than the odd one below it"
)

FOR_EVER = (
    "renewBefore must be shorter than leafDuration, otherwise a certificate would be renewed for "
    "ever; write for example leafDuration 8760h and renewBefore 720h"
)

MOMENT = (
    "a certificate must last an hour at least, and 30 minutes until it is renewed; write for "
    "example leafDuration 24h and renewBefore 8h"
)

RETENTION = (
    "write a duration such as 8h with mode Periodic, and a number of revisions such as 10000 with "
    "mode Revision"
)

ELECTION = (
    "electionMilliseconds must be at least 5 times heartbeatMilliseconds; etcd's defaults are "
    "1000 and 100"
)

UNHEALTHY = "write a number from 0 to 1000, or a share from 1% to 100%, such as 2 or 25%"

SIZES = (
    *(
        of(
            kind,
            "spec.remediation.maxUnhealthy",
            UNHEALTHY,
            {"remediation": {"maxUnhealthy": wrong}},
        )
        for kind in ("KubeNode", "Machine")
        for wrong in (-1, 1001, "0%", "101%", "few")
    ),
    *(
        of_cluster("spec.etcd.members", f"spec.etcd.members {EVEN}", {"etcd": {"members": n}})
        for n in (0, 2, 9)
    ),
    of("EtcdCluster", "spec.members", f"spec.members {EVEN}", {"members": 4}),
    of_cluster(
        "spec.etcd.storage",
        "spec.etcd.storage.size must be at least 1Gi",
        {"etcd": {"storage": {"size": "500Mi"}}},
    ),
    of(
        "EtcdCluster",
        "spec.storage",
        "spec.storage.size must be at least 1Gi",
        {"storage": {"size": "1M"}},
    ),
    of_cluster(
        "spec.certificates",
        f"spec.certificates: {FOR_EVER}",
        {"certificates": {"leafDuration": "24h"}},
    ),
    of("EtcdCluster", "spec.tls", f"spec.tls: {FOR_EVER}", {"tls": {"renewBefore": "8760h"}}),
    *(
        case
        for leaf, before in (("59m", "1m"), ("1s", "0s"), ("24h", "23h59m"), ("1h", "31m"))
        for case in (
            of_cluster(
                "spec.certificates",
                f"spec.certificates: {MOMENT}",
                {"certificates": {"leafDuration": leaf, "renewBefore": before}},
            ),
            of(
                "EtcdCluster",
                "spec.tls",
                f"spec.tls: {MOMENT}",
                {"tls": {"leafDuration": leaf, "renewBefore": before}},
            ),
        )
    ),
    *(
        of(
            "EtcdCluster",
            "spec.maintenance.compaction",
            RETENTION,
            {"maintenance": {"compaction": c}},
        )
        for c in ({"mode": "Revision"}, {"retention": "10000"}, {"retention": "0h"})
    ),
    of_cluster(
        "spec.etcd.maintenance.compaction",
        RETENTION,
        {"etcd": {"maintenance": {"compaction": {"retention": "10000"}}}},
    ),
    *(
        of("EtcdCluster", "spec.tuning", ELECTION, {"tuning": wrong})
        for wrong in ({"heartbeatMilliseconds": 500}, {"electionMilliseconds": 400})
    ),
    of_cluster("spec.etcd.tuning", ELECTION, {"etcd": {"tuning": {"heartbeatMilliseconds": 500}}}),
)
