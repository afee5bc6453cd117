"""What is done about a host that is not as it should be: faults, drift, the ladder, the breaker."""
