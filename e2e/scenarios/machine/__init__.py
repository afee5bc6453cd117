"""Scenarios about hosts that are nodes, and about what befalls them."""
