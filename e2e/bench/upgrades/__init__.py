"""What upgrades cost: of one Cluster, of many in a lab, and of more than a lab could run."""
