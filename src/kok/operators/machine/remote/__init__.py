"""Hosts over SSH: what is seen there, what is done there."""
