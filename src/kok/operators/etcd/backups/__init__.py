"""What all kinds know of backups: when they are due, what is stored, whom it fits, keys in it."""
