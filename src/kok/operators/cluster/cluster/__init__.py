"""Clusters: control planes in the meta cluster."""
