"""Manifests of a Cluster's children in the meta cluster: pure functions of the resolved spec.

Rendering is deterministic: the golden files of the tests hold that a new release of the operator
alone does not change a pod template, which would roll every control plane.
"""
