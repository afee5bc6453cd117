"""Programs: built from Go modules, or taken from where they are published."""
