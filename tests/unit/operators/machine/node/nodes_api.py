"""Paths of a business cluster."""

from __future__ import annotations

PATH = "/api/v1/nodes/w1"
