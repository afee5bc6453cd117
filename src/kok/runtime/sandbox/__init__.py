"""Work of tenants in processes of their own, with limits."""
