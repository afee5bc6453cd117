"""The etcd operator: one EtcdCluster, one etcd cluster of pods with volumes of their own."""

from kok.operators.etcd.handlers import operator

__all__ = ["operator"]
