"""The conditions and the status of a Machine, from what was seen, decided and done. Pure."""
