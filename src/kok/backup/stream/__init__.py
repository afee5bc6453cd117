"""The bytes of a snapshot on their way to a store and back."""
