"""Who asked what and what came back, written down before the answer leaves.

What lives here: audit devices, their records and the hashing that keeps secrets out of them. What
never does: an access decision, HTTP.
"""
