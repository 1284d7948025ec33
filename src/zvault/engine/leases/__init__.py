"""Leases: how long they live, where they are remembered, how they end.

What lives here: the book of leases, expiry, the leases of secrets. What never does: the token or
secret that a lease is about.
"""
