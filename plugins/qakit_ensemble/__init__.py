"""First-party plugin (being written)."""
