"""The kinds of the etcd operator: EtcdCluster, EtcdBackup, EtcdRestore."""
