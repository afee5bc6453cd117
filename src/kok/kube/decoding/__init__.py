"""What API servers answer, made small and harmless before it is parsed and kept."""
