"""Scenarios about upgrades: what users of a Cluster notice of them, and what hinders them."""
