"""Members of etcd while they fail, move, are upgraded and get new certificates."""
