"""A run as a graph of steps, and how it is shown."""
