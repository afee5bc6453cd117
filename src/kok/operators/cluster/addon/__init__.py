"""Addons: bundles of manifests, rendered for one business cluster and kept applied there."""
