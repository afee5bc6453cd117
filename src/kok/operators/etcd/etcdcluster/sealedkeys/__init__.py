"""Keys of a Cluster that its etcd holds, sealed, so that each backup has them."""
