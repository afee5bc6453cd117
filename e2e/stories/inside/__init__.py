"""What runs inside a Cluster with a node: it comes by a word, is used, and nothing of it is left."""
