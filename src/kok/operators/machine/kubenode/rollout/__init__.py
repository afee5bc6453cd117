"""How changes reach the Machines of a KubeNode, batch by batch, and back where they fail. Pure."""
