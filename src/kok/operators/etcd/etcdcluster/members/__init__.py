"""Members: what each one is, how it is, and what may be made of it."""
