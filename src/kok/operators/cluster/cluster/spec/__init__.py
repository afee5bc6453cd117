"""What a Cluster's spec comes to, and what of it is refused."""
