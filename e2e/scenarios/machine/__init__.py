"""Scenarios about hosts: how they become nodes, and stay as declared."""
