"""The machine that the lab runs on: its commands, podman, the cache."""
