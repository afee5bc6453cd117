"""EtcdClusters: etcd of pods with volumes of their own."""
