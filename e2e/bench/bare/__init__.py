"""What KOK is compared with: the same programs as bare processes, without Kubernetes around them."""
