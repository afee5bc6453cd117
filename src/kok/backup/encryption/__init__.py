"""Encryption of backups, and keys sealed within them."""
