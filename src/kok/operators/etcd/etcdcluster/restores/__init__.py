"""An EtcdCluster's own part of a restore."""
