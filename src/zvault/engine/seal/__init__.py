"""Shares and what a quorum of them may do: unseal, rekey, make a new root token.

What never lives here: the barrier's own format (``zvault.barrier``).
"""
