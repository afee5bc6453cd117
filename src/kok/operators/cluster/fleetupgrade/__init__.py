"""FleetUpgrade: many Clusters are raised to a version, in waves."""
