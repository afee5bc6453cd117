"""Business clusters: who may be trusted there, and what nodes may be certified for."""
