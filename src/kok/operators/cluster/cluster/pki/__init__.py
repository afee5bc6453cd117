"""The keys, certificates and kubeconfigs of a Cluster."""
