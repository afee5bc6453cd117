"""Scenarios about hosts and what is on them."""
