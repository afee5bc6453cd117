"""What hosts and pods are served: a registry, artifacts, an S3 server."""
