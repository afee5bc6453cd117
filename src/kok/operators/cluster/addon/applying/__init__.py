"""How an addon's objects get into a business cluster, and out of it: order, inventory, what is left
to others."""
