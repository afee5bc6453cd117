"""What speaks against going to another version, found out without changing anything."""
