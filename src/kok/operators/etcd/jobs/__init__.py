"""Jobs that move backups: how many, what they are made of, what became of them."""
