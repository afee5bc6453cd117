"""An EtcdCluster's own care for its backups."""
