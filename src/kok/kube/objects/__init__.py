"""What manifests have in common: owners, amounts, addresses, policies."""
