"""Scenarios about hosts: pools, and all that becomes of hosts as nodes."""
