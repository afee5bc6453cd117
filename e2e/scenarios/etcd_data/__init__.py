"""What etcd stores: backed up, restored, and kept when disks and volumes fail."""
