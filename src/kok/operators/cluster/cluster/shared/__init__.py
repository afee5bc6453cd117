"""What all Clusters look at together: nodes of the meta cluster, Machines."""
