"""A stand-in for what the bare API server of these tests lacks: controllers, kubelet, etcd operator.

It runs the command of each Deployment of a control plane as a process on this machine, with the
real arguments and with its Secrets as files, on a real etcd; it reports readiness as a Deployment
does. For EtcdClusters it makes the client's Secret and says that they are ready.

A tunnel's servers run beside their API server, the first on the node port of its Service.

What differs from a cluster: etcd is one for all, without TLS, each cluster under a prefix of its
own; the internal name of a Service is replaced by the public address; one process stands for all
replicas, but for the servers of a tunnel; and a rollout ends the old process before the new one starts.
"""

from __future__ import annotations

from tests.integration.operators.cluster.standin.controlplanes import StandIn
from tests.integration.operators.cluster.standin.etcdoperator import BACKUP, ETCD
from tests.integration.operators.cluster.standin.processes import own_address

__all__ = ["BACKUP", "ETCD", "StandIn", "own_address"]
