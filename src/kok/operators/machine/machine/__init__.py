"""The reconciler of Machines: one host, brought to be a node of one business cluster."""
