"""A small PKI engine: one root, roles, certificates with a lease, a revocation list."""
