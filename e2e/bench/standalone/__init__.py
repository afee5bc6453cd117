"""What needs no lab with KOK in it, and is to have the machine for itself."""
