"""What `kok machine` does at hosts, as whoever calls it may: with the Secrets that he may read."""
