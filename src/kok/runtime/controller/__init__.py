"""The loop: when passes of an object come, what each one gets, and how it ends."""
