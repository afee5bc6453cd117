"""What befalls nodes, pods, clocks and stores; everything is undone at the end of its block."""
