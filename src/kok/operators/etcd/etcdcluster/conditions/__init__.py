"""The status of an EtcdCluster: pure functions on what was observed and decided."""
