"""What people reported, told again in the lab."""
