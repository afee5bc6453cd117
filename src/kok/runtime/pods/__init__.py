"""Why pods are missing or not ready, in words for people."""
