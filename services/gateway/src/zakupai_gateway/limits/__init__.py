"""How many requests are allowed, counted exactly for all gateways together.

What lives here: the algorithm (GCRA), Redis as its memory, this process as its memory, and the
choice between them.
"""
