"""What is observed of an EtcdCluster, and how: children, members, volumes; since when without a gap."""
