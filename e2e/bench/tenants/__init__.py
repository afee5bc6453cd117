"""Tenants beside each other."""
