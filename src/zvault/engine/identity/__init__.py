"""Who logs in: entities, aliases, groups, the login itself and the lockout of who guesses.

What lives here: what every auth method shares. What never does: one method's own proof
(``backends/``), the token that comes of it (``tokens/``).
"""
