"""What differs between the operating systems of hosts."""
