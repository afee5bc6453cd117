"""KOK: Kubernetes clusters as custom resources of another one."""
