"""Private certificate authority and certificates."""
