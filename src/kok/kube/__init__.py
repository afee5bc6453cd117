"""The Kubernetes API: an async client, server-side apply, ownership and events."""
