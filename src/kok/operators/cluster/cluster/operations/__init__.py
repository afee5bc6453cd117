"""What takes a Cluster more than one pass, recorded in `status.operation`."""
