"""The CA and the certificates of an EtcdCluster."""
