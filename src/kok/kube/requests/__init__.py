"""Requests of one API server: what all have in common, and those that change something."""
