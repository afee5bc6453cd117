"""What reaches many Clusters goes in waves: what kinds that do so have in common."""
