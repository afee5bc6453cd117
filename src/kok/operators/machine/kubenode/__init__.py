"""The reconciler of KubeNodes: which software at which versions, which hosts, which Machines."""
