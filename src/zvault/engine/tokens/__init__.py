"""How tokens begin, are used and end.

What lives here: token entries as stored, what a new one may be, who is asking, revocation,
wrapping.
What never does: what a token may do (``policy/``), when a lease ends (``leases/``).
"""
