"""Addons for many Clusters: each of these gets an Addon of its own, and changes of it in waves."""
