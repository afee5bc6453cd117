"""Business clusters: their clients, what is watched there, and what every one of them needs."""
