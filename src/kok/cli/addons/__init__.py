"""`kok addons`: which addons a business cluster has, and the same as one field, `spec.addons`."""
