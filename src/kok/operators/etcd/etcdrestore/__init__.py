"""EtcdRestores: a backup is found and proven, then its EtcdCluster takes its data."""
