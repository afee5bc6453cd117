"""Server-side apply: what is sent, what counts as a difference, what others may not add."""
