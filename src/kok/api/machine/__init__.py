"""The kinds of the machine operator: KubeNode, Machine, Host and Component."""
