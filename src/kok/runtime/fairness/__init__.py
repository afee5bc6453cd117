"""What namespaces share, shared fairly: slots and memory."""
