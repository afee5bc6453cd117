"""What works inside a business cluster."""
