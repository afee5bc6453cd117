"""The meta cluster, its hosts, and their network."""
