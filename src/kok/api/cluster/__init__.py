"""The kinds of the cluster operator: Cluster and Addon."""
