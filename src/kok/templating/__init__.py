"""Jinja2 for all that users write templates for: one sandbox, one set of filters."""
