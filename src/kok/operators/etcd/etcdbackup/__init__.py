"""EtcdBackups: snapshots of etcd clusters, taken, kept, proven and removed by Jobs."""
