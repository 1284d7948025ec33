"""The first set-up of a Vault: its keys made and kept, its mounts, logins and policies declared.

Rooms: ``keys_file`` and ``initialize`` (once), ``model``, ``decide`` and ``apply`` (again and
again, until what is observed is what was declared).
"""
