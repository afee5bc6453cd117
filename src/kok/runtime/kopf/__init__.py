"""All that touches kopf."""
