"""EtcdClusters and their backups, against members without an operator."""
