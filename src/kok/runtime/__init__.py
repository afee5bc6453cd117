"""The reconcile loop on kopf and what surrounds it: settings, leadership, health, metrics, logs."""
