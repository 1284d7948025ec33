"""Access tokens: the keys that sign them, what they say, what is believed.

What lives here: JWTs and their keys. What never does: sessions, passwords, HTTP.
"""
