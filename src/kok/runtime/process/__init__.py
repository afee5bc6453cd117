"""The process around operators: Leases, probes, logs, metrics, and an orderly end."""
