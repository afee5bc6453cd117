"""Scenarios about hosts: what runs on them, how that changes, and what may befall it."""
