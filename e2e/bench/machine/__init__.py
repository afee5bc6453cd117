"""Hosts and nodes: how long they take."""
