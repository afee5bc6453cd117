"""What one API server and one namespace may cost: bytes, memory, processor time."""
