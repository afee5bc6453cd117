"""The status of a Cluster: pure functions on what a pass found."""
