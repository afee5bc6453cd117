"""Business clusters as this operator sees them: their nodes, tokens, certificate requests."""
