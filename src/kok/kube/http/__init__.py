"""Requests to one API server: connections, deadlines, and who may use them next."""
