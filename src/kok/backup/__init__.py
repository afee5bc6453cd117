"""The data plane of backups: a program for Jobs that moves snapshots and knows no Kubernetes API.

`spec.py`, `report.py`, `description.py` and `reasons.py` are what the operator knows of it;
nothing else here may be imported by the operator, whose memory at rest would pay for the libraries.
"""
