"""Hosts and nodes: how long they take, and a thousand that are simulated."""
