"""Hosts: who uses them, what is left on them, and by which Secret they are reached."""
